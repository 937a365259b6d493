from argparse import ArgumentParser
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.core.management.base import CommandError

from operations import fence
from operations.command import OperatorCommand
from operations.confirmation import confirm
from operations.fence import Note
from operations.split import Refused, nobody_moves
from operations.stores import SCHEMAS, being_restored, parameters

ORDER = ("system", "events", "projections")


class Command(OperatorCommand):
    help = "Close a store to writes, open it again, or tell which are closed. Reads go on meanwhile."
    details = """
While a store is closed, requests that write to it get 503 "maintenance" with Retry-After, projectors and
workers wait, and every other command is refused by it. The fence is in the database: it holds for every
process, until somebody opens it.

  manage.py maintenance status
  manage.py maintenance on --store events
  manage.py maintenance off --store events

"off" asks for REOPEN where a store was closed because it moved: what is written to the old place then is
in no other. Exit codes: 0 done, 1 refused or failed, 2 a wrong option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("on", "off", "status"))
        parser.add_argument("--store", choices=SCHEMAS, help="one store; all of them when not given")

    def handle(self, *args: Any, **options: Any) -> None:
        aliases = [options["store"]] if options["store"] else list(SCHEMAS)
        try:
            with ExitStack() as held:
                stores = [(held.enter_context(self._connected(alias)), alias) for alias in aliases]
                if options["what"] == "on":
                    self._on(stores)
                    return
                for store in stores:
                    {"off": self._off, "status": self._status}[options["what"]](*store)
        except Refused as reason:
            raise CommandError(str(reason)) from reason

    def _connected(self, alias: str) -> fence.Connection:
        return psycopg.connect(**parameters(alias), autocommit=True)

    def _on(self, stores: list[tuple[fence.Connection, str]]) -> None:
        """All of them, or none: those that were closed are open again where a later one cannot be."""
        known = {alias: self._closable(connection, alias) for connection, alias in stores}
        with ExitStack() as undo:
            # what people do before what follows from it
            for connection, alias in sorted(stores, key=lambda store: ORDER.index(store[1])):
                if known[alias] is None:
                    undo.callback(fence.down, connection, alias)
                fence.up(connection, alias, Note("maintenance", datetime.now(UTC)))
            undo.pop_all()
        for _, alias in stores:
            self.stdout.write(f"{alias}: closed to writes")

    def _closable(self, connection: fence.Connection, alias: str) -> Note | None:
        known = fence.read(connection, alias)
        if being_restored(connection, alias):
            raise CommandError(
                f"A restore of the {alias} store has not ended: run that store_restore again, to its end."
            )
        if known is not None and known.fenced and known.state != "maintenance":
            raise CommandError(fence.words(alias, known))
        if known is not None and known.state == "arrived":
            raise CommandError(f"The {alias} store was moved to here: store_split --drop-source first.")
        return known

    def _off(self, connection: fence.Connection, alias: str) -> None:
        known = fence.read(connection, alias)
        if known is not None and known.fenced and known.state != "maintenance":
            with nobody_moves(connection, alias):  # before it asks, so as not to ask in vain
                self.stdout.write(f"{fence.words(alias, known)} store_split --abort is the way back.")
            self.stdout.write("Whoever writes here while the other place is in use writes for nobody.")
            confirm("REOPEN", self.stdout)
            with nobody_moves(connection, alias):
                if fence.read(connection, alias) != known:
                    raise CommandError(
                        f"{alias}: it has moved on meanwhile, and nothing was done. Look again."
                    )
                fence.down(connection, alias)
        elif (known is not None and known.fenced) or fence.refuses(connection, alias):
            fence.down(connection, alias, known if known is not None and not known.fenced else None)
        self.stdout.write(f"{alias}: open")

    def _status(self, connection: fence.Connection, alias: str) -> None:
        known = fence.read(connection, alias)
        if (known is None or not known.fenced) and fence.refuses(connection, alias):
            self.stdout.write(f"{alias}: closed, and nothing says why: it may come from a backup or a copy.")
            self.stdout.write(f"  manage.py maintenance off --store {alias} opens it.")
            return
        if known is None or not known.fenced:
            self.stdout.write(f"{alias}: open")
            return
        self.stdout.write(
            f"{alias}: closed since {known.since:%Y-%m-%d %H:%M:%S} UTC. {fence.words(alias, known)}"
        )
        ways = {
            "maintenance": f"manage.py maintenance off --store {alias} opens it.",
            "moving": f"store_split --store {alias} --to … again goes on; with --abort it goes back.",
            "moved": f"Let {alias} point at the new place, or go back: store_split --abort.",
            "abandoned": f"Repeat store_split --store {alias} --abort, from the old place, to drop this one.",
            "filling": "This is the new place of a move that is not done: see the old one.",
        }
        self.stdout.write(f"  {ways[known.state]}")
