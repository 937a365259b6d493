import os
import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.core.management.base import CommandError

from balados import databases
from operations import split
from operations.command import OperatorCommand
from operations.confirmation import confirm
from operations.split import MoveResult
from operations.stores import SCHEMAS

VARIABLES = {"system": "DATABASE_URL", "projections": "PROJECTIONS_URL", "events": "EVENT_STORE_URL"}


class Command(OperatorCommand):
    help = "Move one store into a database of its own, on the same server or another. The old one stays."
    details = """
What happens: the database is made at the new place; then nobody writes to the old place any more (requests
that write get 503 "maintenance", reads go on); pg_dump and pg_restore copy it, rows are counted and compared;
then it says which setting to change. Restart every process with that setting: what still has the old one is
refused writes, and goes on reading what was there.

  manage.py store_split --store events --to postgresql://user@db2/balados_events
  manage.py store_split --store events --to -            the URL from standard input: others see command lines
  manage.py store_split --store events --to ... --abort           end an unfinished one: open the old place
  manage.py store_split --store events --drop-source              after the switch: delete the old place

The first two ask nothing. --abort asks for DELETE, --drop-source for DELETE and the old database's name.
Interrupted or killed: run the same again, it goes on or starts over.
Exit codes: 0 done; 1 refused or failed, and the old place as it was unless it says otherwise; 2 a wrong
option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", required=True, choices=SCHEMAS)
        parser.add_argument("--to", metavar="URL", help="the new place; - reads it from standard input")
        parser.add_argument(
            "--abort", action="store_true", help="end an unfinished move, and open the old place"
        )
        parser.add_argument(
            "--drop-source", action="store_true", help="delete the old place, after the switch"
        )
        parser.add_argument(
            "--from",
            dest="old",
            metavar="URL",
            help="with --drop-source: the old place, where no other store lives there; - reads it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["store"]
        if options["abort"] and options["drop_source"]:
            raise CommandError("Either --abort or --drop-source.", returncode=2)
        if options["drop_source"] != (options["to"] is None):
            raise CommandError("--to names the new place; --drop-source takes --from.", returncode=2)
        if options["drop_source"]:
            split.drop_source(alias, self._old(alias, options["old"]), say=self._say, confirm=self._confirm)
            self.stdout.write("Deleted.")
            return
        url = _read(options["to"])
        target = databases.store(alias, url, pool={})
        if options["abort"]:
            split.abort(alias, target, say=self._say, confirm=self._confirm)
            self.stdout.write("Back at the old place.")
            return
        self._tell(alias, url, split.move(alias, target, say=self._say))

    def _tell(self, alias: str, url: str, moved: MoveResult) -> None:
        for table, held in moved.tables.items():
            self.stdout.write(f"  {table}: {held.rows:,} rows, the same in both (checksum {held.sum})")
        self.stdout.write(
            f"The {alias} store is complete in {moved.target}; nobody could write for {moved.seconds:.1f} s."
        )
        self.stdout.write(f"It is still closed to writes in {moved.source}. Now set, for every process:")
        self.stdout.write(f"  {VARIABLES[alias]}={shown(url)}")
        if alias == "system":
            for other in ("projections", "events"):
                if not os.environ.get(VARIABLES[other]):
                    self.stdout.write(
                        f"  {VARIABLES[other]}=the DATABASE_URL of today (it stood in for this one)"
                    )
        self.stdout.write(
            "and restart web, projector, worker and beat: what keeps the old setting is refused writes.\n"
            f"Then: manage.py store_split --store {alias} --drop-source"
        )

    def _old(self, alias: str, old: str | None) -> dict[str, Any]:
        if old is not None:
            return split.server_of(alias, databases.store(alias, _read(old), pool={}))
        found = split.old_place(alias)
        if found is None:
            raise CommandError("Where was it? Name the old place with --from URL (or --from -).")
        return found

    def _say(self, text: str) -> None:
        self.stdout.write(text)

    def _confirm(self, phrase: str) -> None:
        confirm(phrase, self.stdout)


def _read(url: str) -> str:
    if url != "-":
        return url
    return getpass("URL: ") if sys.stdin.isatty() else sys.stdin.readline().strip()


def shown(url: str) -> str:
    """The URL with stars for its password."""
    parts = urlsplit(url)
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    host = parts.netloc.rpartition("@")[2]
    if not (colon and password):
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
