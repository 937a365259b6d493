from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError

from operations import backups, dumps, migrations, restores, stores
from operations.command import OperatorCommand
from operations.progress import progress
from projections.garbage import patient_collector
from projections.projectors import PROJECTORS
from projections.rebuild import AlreadyRunning, rebuild

ALIASES: Final[dict[str, list[backups.Store]]] = {
    "events": ["events"],
    "system": ["system"],
    "all": ["events", "system"],
}
FAILURES: Final = (
    backups.Damaged,
    dumps.ProgramFailed,
    migrations.NotMigrated,
    restores.Refused,
    restores.Unlike,
    stores.CannotCreate,
)


class Command(OperatorCommand):
    help = "Fill an empty store from a backup. Stop the server first; start it again afterwards."
    details = """
The store is where its URL says (DATABASE_URL, EVENT_STORE_URL): databases and schemas are created where they
are not there. A store that has rows is refused: nothing is ever overwritten. PATH is a backup, or a directory
of backups, of which the newest complete one is taken. Before anything is touched its sums are checked;
afterwards every table must hold what the manifest says. A backup of an older program is migrated, of a newer
one refused.

What follows, by itself: accounts known to be erased are erased again (from the backups beside this one, the
stores that are left, this machine's ledger, and every --erasures file). After one of the events, new events
are numbered beyond all that clients may remember, cursors from before get everything, and the read models are
rebuilt.

--in-place does only what follows, where PostgreSQL's own means brought a store back (a base backup, a point
in time). Killed or failed half-way: run the same again. Until then db_init and /health/ready refuse the
store.

Exit codes: 0 done, or whole; 1 refused, failed or damaged; 2 a wrong option.

  manage.py store_restore --store all --from /backups
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", choices=(*ALIASES, "projections"), required=True)
        parser.add_argument("--from", type=Path, metavar="PATH", dest="source")
        parser.add_argument("--check", action="store_true", help="only check that the backup is whole")
        parser.add_argument("--in-place", action="store_true", help="the store is restored: do what follows")
        parser.add_argument(
            "--erasures",
            type=Path,
            metavar="FILE",
            action="append",
            default=[],
            help="a ledger of erased accounts from elsewhere; may be given several times",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["store"] == "projections":
            self.stdout.write(
                "projections: nothing to restore. They are rebuilt from the events: rebuild_projections."
            )
            return
        if (options["source"] is None) is not options["in_place"]:
            raise CommandError("Give either --from, a backup, or --in-place.", returncode=2)
        if options["in_place"] and options["check"]:
            raise CommandError("--check is for a backup: with --in-place there is none.", returncode=2)
        aliases = ALIASES[options["store"]]
        try:
            if options["in_place"]:
                restores.adopt(aliases, self.stdout.write, self._rebuild, options["erasures"])
                self.stdout.write("Done: start the server.")
                return
            chosen = [backups.find(options["source"], alias) for alias in aliases]
            if options["check"]:
                for backup in chosen:
                    backups.verify(backup)
                    self.stdout.write(f"{backup}\nIt is whole.")
                return
            restores.restore(chosen, self.stdout.write, self._rebuild, options["erasures"])
            self.stdout.write("Restored: start the server.")
        except FAILURES as error:
            raise CommandError(str(error)) from error
        except AlreadyRunning as error:
            raise CommandError(f"{error} is being rebuilt by another process: run this again.") from error

    def _rebuild(self) -> None:
        out: Any = self.stdout
        with patient_collector(), progress(out, "rebuilding", "positions") as reached:
            rebuild(list(PROJECTORS.values()), reached)
