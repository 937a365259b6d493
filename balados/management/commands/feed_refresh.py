from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from feeds.pump import fetch_now
from feeds.store import ensure
from operations import feeds
from operations.command import OperatorCommand

WHICH_ADDRESSES = "FEED_ALLOW_NETWORKS and FEED_PORTS say which addresses are fetched (docs/settings.md)."


class Command(OperatorCommand):
    help = "Fetch a feed now and report the result: what was read, or what failed and when it is tried again."
    details = """
  manage.py feed_refresh https://example.org/feed.xml
  manage.py feed_refresh --whole https://example.org/feed.xml

A feed that nobody follows becomes known through this command, and is kept fresh for 30 days. A paused host is
left alone: if it asked us to wait, or does not answer, nothing is requested from it. --whole reads the
document again even if it has not changed. The command takes up to 20 seconds, plus the time to read the
document.

Exit codes: 0 the feed was read, or is unchanged; 1 it could not be read, or its host is paused; 2 invalid
option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed", help="its URL")
        parser.add_argument(
            "--whole", action="store_true", help="read the document even if it has not changed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = feeds.name_of(options["feed"])
        ensure([name], timezone.now(), asked=True)
        feed = feeds.known(name)
        self.stdout.write(f"Fetching {feed.url} …")
        self.stdout.flush()
        done = fetch_now(feed.id, at_once=True, forced=options["whole"])
        now = timezone.now()
        shown = feeds.known(name)
        if done is None:
            raise CommandError(f"Nothing was fetched. {shown.state(now).text}")
        for line in feeds.outcome_lines(shown, now):
            self.stdout.write(line)
        if done.error:
            hint = f" {WHICH_ADDRESSES}" if done.error == "refused" else ""
            raise CommandError(f"It could not be read ({done.error}).{hint}")
