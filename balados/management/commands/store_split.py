import os
import re
import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError

from balados import databases
from operations import split
from operations.command import OperatorCommand
from operations.split import MoveResult
from operations.stores import SCHEMAS, VARIABLES, parameters


class Command(OperatorCommand):
    help = "Move one store into a database of its own, on the same server or another. The old one is kept."
    details = """
The command creates the database at the new place, then stops all writes to the old place (requests that write
get 503 "maintenance", reads continue), copies the store with pg_dump and pg_restore, counts and compares the
rows, and says which setting to change. Restart every process with that setting: processes that still have the
old one cannot write, and keep reading the old data.

  manage.py store_split --store events --to postgresql://user@db2/balados_events
  manage.py store_split --store events --drop-source --from ...   after the switch: delete the old place

--to - and --from - read the URL from standard input, because other users can see command lines. A move does
not ask for confirmation; --drop-source asks for DELETE and the name of the old database.
If the command is interrupted or killed, run it again as it was: it continues or starts over. Or open the old
place again with maintenance off --store events.
Exit codes: 0 done; 1 refused or failed, and the old place is as it was unless the message says otherwise; 2
invalid option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", required=True, choices=SCHEMAS)
        place = parser.add_mutually_exclusive_group(required=True)
        place.add_argument("--to", metavar="URL", help="URL of the new place; - reads it from standard input")
        place.add_argument(
            "--from", dest="old", metavar="URL", help="with --drop-source: URL of the old place"
        )
        parser.add_argument(
            "--drop-source", action="store_true", help="delete the old place after the switch"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias, url = options["store"], _read(options["old"] or options["to"])
        if options["drop_source"] != bool(options["old"]):
            raise CommandError("--to names the new place; --drop-source takes --from.", returncode=2)
        server = parameters(alias, databases.store(alias, url, pool={}))
        self.touched = not options["drop_source"]
        if options["drop_source"]:
            split.drop_source(alias, server, say=self.stdout.write, confirm=self.confirm)
            self.stdout.write("Deleted.")
        else:
            self._tell(alias, url, split.move(alias, server, say=self.stdout.write))

    def _tell(self, alias: str, url: str, moved: MoveResult) -> None:
        for table, held in moved.tables.items():
            self.stdout.write(f"  {table}: {held.rows:,} rows, the same in both (checksum {held.sum})")
        self.stdout.write(
            f"The {alias} store is complete in {moved.target}; nobody could write for {moved.seconds:.1f} s."
            f"\nIt is still closed to writes in {moved.source}. Now set, for every process:\n"
            f"  {VARIABLES[alias]}={shown(url)}"
        )
        for other in ("projections", "events") if alias == "system" else ():
            if not os.environ.get(VARIABLES[other]):
                self.stdout.write(
                    f"  {VARIABLES[other]}=the DATABASE_URL of today (it stood in for this one)"
                )
        self.stdout.write(
            "and restart web, live, projector and worker: what keeps the old setting is refused writes.\n"
            f"Then: manage.py store_split --store {alias} --drop-source --from the old URL"
        )


def _read(url: str) -> str:
    if url != "-":
        return url
    return getpass("URL: ") if sys.stdin.isatty() else sys.stdin.readline().strip()


def shown(url: str) -> str:
    """Return the URL with its password replaced by stars."""
    return re.sub("(//[^:/@]*:)[^/]+(?=@)", r"\1***", url)
