from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO, cast

from django.core.management.base import CommandError

from operations import backup, restore
from operations.command import OperatorCommand
from operations.rebuilding import rebuild_beside
from projections.projectors import PROJECTORS

ALIASES: Final[dict[str, list[backup.Store]]] = {
    "events": ["events"],
    "system": ["system"],
    "all": ["events", "system"],
}


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
rebuilt: nothing of the projections store needs to be restored.

--in-place does only what follows, where PostgreSQL's own means brought a store back (a base backup, a point
in time). Killed or failed half-way: run the same again. Until then db_init and /health/ready refuse the
store.

Exit codes: 0 done; 1 refused, failed or damaged; 2 a wrong option.

  manage.py store_restore --store all --from /backups
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", choices=ALIASES, required=True)
        parser.add_argument("--from", type=Path, metavar="PATH", dest="source")
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
        if (options["source"] is None) is not options["in_place"]:
            raise CommandError("Give either --from, a backup, or --in-place.", returncode=2)
        aliases, say, ledgers = ALIASES[options["store"]], self.stdout.write, options["erasures"]
        rebuild = partial(rebuild_beside, list(PROJECTORS.values()), cast(TextIO, self.stdout))
        if options["in_place"]:
            restore.adopt(aliases, say, rebuild, ledgers)
        else:
            chosen = [backup.find(options["source"], alias) for alias in aliases]
            restore.restore(chosen, say, rebuild, ledgers)
        say("Restored: start the server.")
