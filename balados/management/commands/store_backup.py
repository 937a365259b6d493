from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError

from operations import backup
from operations.command import OperatorCommand

STORES: Final = ("events", "system")


class Command(OperatorCommand):
    help = "Back up a store while the server runs, or check that a backup is intact."
    details = """
Each backup is a directory DIR/STORE-TIME with a dump, a manifest (row count and checksum of every table,
checksums of the files) and the ledger of erased accounts. It gets its name once it is complete and on disk.
The command asks nothing, and changes nothing in the stores.

  events       cannot be rebuilt: back it up often, as a failure loses what is newer than the backup
  system       accounts, apps, play tokens; browser sessions are left out
  all          events, then system: every listener in the first has an account in the second
  erasures     only the ledger of erased accounts, as DIR/erasures: small, so copy it elsewhere hourly

The projections store needs no backup: it is rebuilt from the events. Keep DIR on another machine's disk, and
private: a backup contains what listeners do.

Exit codes: 0 done, or intact; 1 failed, or damaged (a failed backup never looks like a complete one); 2
invalid option.

A crontab line for a backup every night at 3:17, kept for two weeks:
  17 3 * * * cd /srv/balados && .venv/bin/python manage.py store_backup --store all --to /backups --keep 14
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", choices=(*STORES, "all", "erasures"))
        parser.add_argument("--to", type=Path, metavar="DIR", help="where to create the backup's directory")
        parser.add_argument(
            "--keep", type=int, metavar="N", help="delete all but the newest N complete backups of this store"
        )
        parser.add_argument("--verify", type=Path, metavar="PATH", help="only check the backup in PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen, to, keep = options["store"], options["to"], options["keep"]
        self.touched = not options["verify"]
        if options["verify"]:
            found = backup.read(options["verify"])
            backup.verify(found)
            self.stdout.write(f"{found}\nIt is whole.")
            return
        if chosen is None or to is None:
            raise CommandError("Say which --store, and --to which directory.", returncode=2)
        if keep is not None and keep < 1:
            raise CommandError("--keep 1 at least: the one just made.", returncode=2)
        if chosen == "erasures":
            self.stdout.write(f"{to / backup.ERASURES}: {backup.write_ledger(to)} erased accounts")
            return
        for alias in STORES:
            if chosen in (alias, "all"):
                self.stdout.write(str(backup.take(alias, to, keep)))
