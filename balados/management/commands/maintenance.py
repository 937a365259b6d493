from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

from django.core.management.base import CommandError

from operations import maintenance
from operations.command import OperatorCommand
from operations.exclusive import exclusive
from operations.stores import SCHEMAS, Connection, Note, check_restored, connect, read_note

# stores that people's actions write to are closed before those that are derived from them
ORDER = ("system", "events", "projections")


class Command(OperatorCommand):
    help = (
        "Close a store to writes, open it again, or show which stores are closed. Reads continue meanwhile."
    )
    details = """
While a store is closed, requests that write to it get 503 "maintenance" with Retry-After, projectors and
workers wait, and every other command is refused. The database itself enforces this, for every process, until
somebody opens the store.

  manage.py maintenance status
  manage.py maintenance on --store events
  manage.py maintenance off --store events

"off" asks for REOPEN if a store was closed because it moved: what is written to the old place then exists
nowhere else. Exit codes: 0 done, 1 refused or failed, 2 invalid option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("on", "off", "status"))
        parser.add_argument("--store", choices=SCHEMAS, help="one store (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        self.touched = options["what"] == "on"
        with ExitStack() as held:
            aliases = [options["store"]] if options["store"] else list(SCHEMAS)
            stores = {alias: held.enter_context(connect(alias)) for alias in aliases}
            if options["what"] == "on":
                self._on(stores)
            for alias, connection in stores.items():
                if options["what"] == "off":
                    self._off(connection, alias)
                if options["what"] == "status":
                    self._status(connection, alias)

    def _on(self, stores: dict[str, Connection]) -> None:
        """Close all of the stores or none: if one cannot be closed, those closed before it are opened
        again."""
        notes = {alias: read_note(connection, alias) for alias, connection in stores.items()}
        for alias, connection in stores.items():
            check_restored(connection, alias)
            note, status = notes[alias], maintenance.status(connection, alias)
            if note is not None and status not in ("open", "maintenance"):
                raise CommandError(maintenance.message(alias, note))
        with ExitStack() as undo:
            for alias in sorted(stores, key=ORDER.index):
                if maintenance.status(stores[alias], alias) == "open":
                    undo.callback(maintenance.disable, stores[alias], alias, notes[alias])
                maintenance.enable(stores[alias], alias, notes[alias] or Note("maintenance"))
            undo.pop_all()
        for alias in stores:
            self.stdout.write(f"{alias}: closed to writes")

    def _off(self, connection: Connection, alias: str) -> None:
        with exclusive(connection, alias, self.stdout.write, wait=False):
            known, status = read_note(connection, alias), maintenance.status(connection, alias)
            if known is not None and status in ("moving", "moved", "filling"):
                self.stdout.write(
                    f"{maintenance.message(alias, known)}\n"
                    "Whoever writes here while the other place is in use writes for nobody."
                )
                self.confirm("REOPEN")
            self.touched = True
            maintenance.disable(connection, alias, maintenance.lasting(known))
        self.stdout.write(f"{alias}: open")

    def _status(self, connection: Connection, alias: str) -> None:
        status, note = maintenance.status(connection, alias), read_note(connection, alias)
        if status == "open":
            self.stdout.write(f"{alias}: open")
            return
        reason = "nothing says why: it may come from a backup or a copy."
        if note is not None:
            reason = f"since {note.since:%Y-%m-%d %H:%M:%S} UTC. {maintenance.message(alias, note)}"
        self.stdout.write(f"{alias}: closed, {reason}\n  {maintenance.remedy(alias, status)}")
