from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from operations import identity
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Make two feeds one that are the same show: whatever the first is known by leads to the second."
    details = """
  manage.py feed_merge https://old.example/feed.xml https://new.example/feed.xml

Addresses, episodes and item ids of the first lead to the second, which is fetched from then on. Episodes that
only the first had are found by those who played them, and listed no more. Listeners keep the address that
they follow. manage.py feed_unmerge parts the two again. A feed is named by its URL or as apps do (base64). A
secret feed, and one that you block, is never merged.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed", help="the feed that ends")
        parser.add_argument("into", help="the feed that is kept")

    def handle(self, *args: Any, **options: Any) -> None:
        url, kept = identity.merge(options["feed"], options["into"], timezone.now())
        self.stdout.write(f"Merged: {url} leads to {kept}.")
