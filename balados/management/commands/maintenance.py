from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

import psycopg
from django.core.management.base import CommandError

from operations import maintenance
from operations.command import OperatorCommand
from operations.confirmation import confirm
from operations.exclusive import exclusive
from operations.maintenance import Connection, Note
from operations.stores import SCHEMAS, being_restored, parameters

# what people do before what follows from it
ORDER = ("system", "events", "projections")
WAYS = {
    "maintenance": "manage.py maintenance off --store {alias} opens it.",
    "moving": "store_split --store {alias} --to … again goes on; with --abort it goes back.",
    "moved": "Let {alias} point at the new place.",
    "filling": "This is the new place of a move that is not done: see the old one.",
}


class Command(OperatorCommand):
    help = "Close a store to writes, open it again, or tell which are closed. Reads go on meanwhile."
    details = """
While a store is closed, requests that write to it get 503 "maintenance" with Retry-After, projectors and
workers wait, and every other command is refused by it. It is the database that refuses: every process, until
somebody opens the store.

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
        with ExitStack() as held:
            stores = {
                alias: held.enter_context(psycopg.connect(**parameters(alias), autocommit=True))
                for alias in aliases
            }
            if options["what"] == "on":
                self._on(stores)
                return
            for alias, connection in stores.items():
                {"off": self._off, "status": self._status}[options["what"]](connection, alias)

    def _on(self, stores: dict[str, Connection]) -> None:
        """All of them, or none: those that were closed are open again where a later one cannot be."""
        for alias, connection in stores.items():
            self._check_closable(connection, alias)
        with ExitStack() as undo:
            for alias in sorted(stores, key=ORDER.index):
                connection = stores[alias]
                known = maintenance.read(connection, alias)
                if maintenance.status(connection, alias) == "open":
                    undo.callback(maintenance.disable, connection, alias, known)
                maintenance.enable(connection, alias, known or Note("maintenance"))
            undo.pop_all()
        for alias in stores:
            self.stdout.write(f"{alias}: closed to writes")

    def _check_closable(self, connection: Connection, alias: str) -> None:
        if being_restored(connection, alias):
            raise CommandError(
                f"A restore of the {alias} store has not ended: run that store_restore again, to its end."
            )
        note = maintenance.read(connection, alias)
        if note is not None and maintenance.status(connection, alias) not in ("open", "maintenance"):
            raise CommandError(maintenance.message(alias, note))

    def _off(self, connection: Connection, alias: str) -> None:
        with exclusive(connection, alias, self.stdout.write, wait=False):
            known, status = maintenance.read(connection, alias), maintenance.status(connection, alias)
            if known is not None and status not in ("open", "maintenance"):
                self.stdout.write(
                    f"{maintenance.message(alias, known)}\n"
                    "Whoever writes here while the other place is in use writes for nobody."
                )
                confirm("REOPEN", self.stdout)
            maintenance.disable(connection, alias, maintenance.origin(known))
        self.stdout.write(f"{alias}: open")

    def _status(self, connection: Connection, alias: str) -> None:
        status, note = maintenance.status(connection, alias), maintenance.read(connection, alias)
        if status == "open":
            self.stdout.write(f"{alias}: open")
            return
        said = "nothing says why: it may come from a backup or a copy."
        if note is not None:
            said = f"since {note.since:%Y-%m-%d %H:%M:%S} UTC. {maintenance.message(alias, note)}"
        self.stdout.write(f"{alias}: closed, {said}\n  {WAYS[status].format(alias=alias)}")
