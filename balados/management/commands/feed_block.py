import re
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from eventstore import marks
from eventstore.domain.identifiers import (
    InvalidIdentifier,
    feed_of_url,
    key_of,
    normalise_feed,
    url_of_feed,
)
from feeds import publishing
from operations.command import OperatorCommand
from projections import queries

KEY = re.compile("[0-9a-f]{32}")


class Command(OperatorCommand):
    help = "Keep a feed from the public, whatever its listeners' privacy is: no list, no timeline, no figure."
    details = """
  manage.py feed_block https://example.org/feed.xml
  manage.py feed_block --lift https://example.org/feed.xml
  manage.py feed_block --list

It holds for what was done before, too, at once, and at every address that the feed is known by; listeners
have their feed as ever. Name the feed by its URL, as apps do (base64), or by the digest that --list tells
where nobody's activity tells the URL. --lift takes back what this command did; a feed that its publisher
blocks (itunes:block) stays blocked.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed", nargs="?")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--lift", action="store_true", help="let it be public again, as listeners want it")
        what.add_argument("--list", action="store_true", help="tell which feeds are blocked, and by whom")

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
    try:
        feed = feed_of_url(text) if "://" in text else normalise_feed(text)
    except InvalidIdentifier as error:
        raise CommandError(f"Not a feed: {error}.") from None
    return UUID(key_of(feed))


def _listed() -> Iterator[str]:
    blocked = [mark for mark in marks.feed_marks() if mark.blocked]
    names = queries.feeds_named([mark.feed_key for mark in blocked])
    for mark in sorted(blocked, key=lambda mark: mark.marked_at):
        feed = names.get(mark.feed_key)
        name = mark.feed_key.hex if feed is None else url_of_feed(feed)
        yield f"{mark.marked_at:%Y-%m-%d %H:%M} {mark.marked_by} {name}"
    if not blocked:
        yield "No feed is blocked."
