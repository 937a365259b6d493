import re
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from eventstore import marks
from eventstore.domain.identifiers import key_of, url_of_feed
from feeds import publishing
from operations.command import OperatorCommand
from operations.feeds import name_of
from projections import exposure

KEY = re.compile("[0-9a-f]{32}")


class Command(OperatorCommand):
    help = (
        "Hide a feed from the public in all lists, timelines and figures, whatever its listeners' privacy is."
    )
    details = """
  manage.py feed_block https://example.org/feed.xml
  manage.py feed_block --lift https://example.org/feed.xml
  manage.py feed_block --list

It takes effect at once, for past activity too, and at every address by which the feed is known. Listeners
can use the feed as before. Name the feed by its URL, by the base64 form of the URL that apps use, or by the
digest that --list shows if no listener's activity reveals the URL. --lift removes only the block that this
command has set; a feed that its publisher blocks (itunes:block) stays blocked.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed", nargs="?")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--lift", action="store_true", help="lift the block: listeners' privacy settings apply"
        )
        what.add_argument("--list", action="store_true", help="list the blocked feeds, and who blocked them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"] == (options["feed"] is not None):
            raise CommandError("Name one feed, or --list all.", returncode=2)
        self.touched = not options["list"]
        if options["list"]:
            for line in _listed():
                self.stdout.write(line)
            return
        feed_key, blocked = _key(options["feed"]), not options["lift"]
        wanted = dict.fromkeys(publishing.keys_of(feed_key), blocked)
        if not marks.mark_all(wanted, "operator", timezone.now()):
            self.stdout.write("It was blocked already." if blocked else "You have not blocked it.")
        else:
            self.stdout.write("Blocked." if blocked else "No longer blocked by you.")
        if not blocked and any(mark.blocked for mark in marks.feed_marks(feed_key)):
            self.stdout.write("Its publisher blocks it, and so it stays.")


def _key(text: str) -> UUID:
    if KEY.fullmatch(text):
        return UUID(text)
    return UUID(key_of(name_of(text)))


def _listed() -> Iterator[str]:
    blocked = [mark for mark in marks.feed_marks() if mark.blocked]
    names = exposure.feeds_named([mark.feed_key for mark in blocked])
    for mark in sorted(blocked, key=lambda mark: mark.marked_at):
        feed = names.get(mark.feed_key)
        name = mark.feed_key.hex if feed is None else url_of_feed(feed)
        yield f"{mark.marked_at:%Y-%m-%d %H:%M} {mark.marked_by} {name}"
    if not blocked:
        yield "No feed is blocked."
