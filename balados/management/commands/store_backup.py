from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError

from operations import backups, dumps
from operations.command import OperatorCommand

STORES: Final = ("events", "system")


class Command(OperatorCommand):
    help = "Back up a store while the server runs, or check that a backup is whole."
    details = """
Each backup is a directory DIR/STORE-TIME with a dump, a manifest (rows and a sum for every table, the place
in the WAL, the sums of the files) and the ledger of erased accounts. It gets its name when it is whole and on
the disk. Nothing is asked, nothing in the stores is changed.

  events       what nothing rebuilds: as often as you can bear to lose
  system       accounts, apps, play tokens; browser sessions are left out
  all          events, then system: every listener in the first has his account in the second
  erasures     only the ledger of erased accounts, as DIR/erasures: small, so hourly and elsewhere
  projections  nothing: they are rebuilt from the events

With --base the whole server of the store is copied (pg_basebackup): to restore to a point in time, and for
very large stores. Keep DIR on another machine's disk, and to yourself: a backup holds what listeners do.

Exit codes: 0 done, or whole; 1 failed, or damaged, and nothing that failed looks like a backup; 2 a wrong
option.

Every night at 3:17, two weeks of them, in a crontab:
  17 3 * * * cd /srv/balados && .venv/bin/python manage.py store_backup --store all --to /backups --keep 14
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", choices=(*STORES, "projections", "all", "erasures"))
        parser.add_argument("--to", type=Path, metavar="DIR", help="where the backup's directory is made")
        parser.add_argument("--base", action="store_true", help="copy the store's whole server")
        parser.add_argument(
            "--keep", type=int, metavar="N", help="delete all but the newest N complete ones of this store"
        )
        parser.add_argument("--verify", type=Path, metavar="PATH", help="only check the backup in PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen, to, keep = options["store"], options["to"], options["keep"]
        try:
            if options["verify"]:
                self._verify(options["verify"])
                return
            if chosen is None or (to is None and chosen != "projections"):
                raise CommandError("Say which --store, and --to which directory.", returncode=2)
            if keep is not None and keep < 1:
                raise CommandError("--keep 1 at least: the one just made.", returncode=2)
            if chosen == "erasures":
                self.stdout.write(f"{to / backups.ERASURES}: {backups.keep_ledger(to)} erased accounts")
                return
            for alias in STORES:
                if chosen in (alias, "all"):
                    made = backups.take(alias, to, cluster=options["base"], keep=keep)
                    self.stdout.write(str(made))
            if chosen in ("projections", "all"):
                self.stdout.write(
                    "projections: nothing to back up. They are rebuilt from the events: by themselves after"
                    " a restore of those, at any other time by rebuild_projections."
                )
        except (backups.Busy, backups.Damaged, backups.Elsewhere, dumps.ProgramFailed) as error:
            raise CommandError(str(error)) from error

    def _verify(self, path: Path) -> None:
        backup = backups.read(path)
        backups.verify(backup)
        self.stdout.write(f"{backup}\nIt is whole.")
