from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from operations import feed_identity
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "List the moves of feeds that wait for your decision, and decide on them."
    details = """
  manage.py feed_moves
  manage.py feed_moves --all
  manage.py feed_moves --follow https://a.example/feed.xml https://b.example/feed.xml
  manage.py feed_moves --refuse https://a.example/feed.xml https://b.example/feed.xml

A feed that moves, and moves back within a week, stays at its original address and waits for your decision.
--all also lists the moves that were seen but are not decided yet, and the newest of those that are: when the
move was last seen, the decision, the reason, how often it was seen, and the old and new address. A move that
you refuse is never followed. A move that you accept is followed whatever the evidence, and listeners are
moved within ten minutes. Name a feed by any of its addresses.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--all", action="store_true", help="list all evidence, including what is decided")
        what.add_argument("--follow", nargs=2, metavar=("FEED", "TO"), help="move the feed to this address")
        what.add_argument("--refuse", nargs=2, metavar=("FEED", "TO"), help="never follow this move")

    def handle(self, *args: Any, **options: Any) -> None:
        decision = options["follow"] or options["refuse"]
        self.touched = decision is not None
        if decision is None:
            return self._list(options["all"])
        follows = options["follow"] is not None
        name, to = decision
        feed_identity.decide(name, to, timezone.now(), follows=follows)
        self.stdout.write("Moved." if follows else "Refused.")
        return None

    def _list(self, everything: bool) -> None:
        found = False
        for move in feed_identity.evidence(undecided=everything, decided=everything):
            found = True
            self.stdout.write(
                f"{move.last_seen_at:%Y-%m-%d %H:%M} {move.decided or 'open'} {move.reason} {move.times}x"
                f" {move.from_url} {move.to_url}"
            )
        if not found:
            self.stdout.write("No move is known." if everything else "No move waits for you.")
