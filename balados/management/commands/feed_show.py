from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from operations import feeds
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Show what is known of a feed: its state, when it is fetched next, its addresses and episodes."
    touched = False
    details = """
  manage.py feed_show https://example.org/feed.xml

Name the feed by any address that it has or had, or by the base64 form of one that apps use. Nothing is
fetched: use feed_refresh for that.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed", help="its URL")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        for line in feeds.details(feeds.known(feeds.name_of(options["feed"])), now):
            self.stdout.write(line)
