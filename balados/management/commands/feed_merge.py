from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from operations import feed_identity
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Merge two feeds of the same show: whatever identifies the first then leads to the second."
    details = """
  manage.py feed_merge https://old.example/feed.xml https://new.example/feed.xml

Addresses, episodes and item ids of the first lead to the second, which alone is fetched from then on.
Episodes that only the first had are no longer listed, but those who played them still find them. Listeners
keep the address that they follow. manage.py feed_unmerge undoes the merge. Name a feed by its URL or by the
base64 form of the URL that apps use. Secret feeds, and feeds that you block, are never merged.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed", help="the feed that is merged into the other")
        parser.add_argument("into", help="the feed that is kept")

    def handle(self, *args: Any, **options: Any) -> None:
        url, kept = feed_identity.merge(options["feed"], options["into"], timezone.now())
        self.stdout.write(f"Merged: {url} leads to {kept}.")
