from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from operations import identity
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Part a feed from the one that it was merged into, by you or by itself, as both were before."
    details = """
  manage.py feed_unmerge https://old.example/feed.xml

Name the feed by the URL that it had when it was merged, or as apps do (base64). The two are not made one
again by themselves. Where the other was merged into a third since, undo that first.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed")

    def handle(self, *args: Any, **options: Any) -> None:
        url, kept = identity.unmerge(options["feed"], timezone.now())
        self.stdout.write(f"Parted: {url} is a feed of its own again, beside {kept}.")
