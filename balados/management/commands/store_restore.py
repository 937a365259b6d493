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
    help = "Fill an empty store from a backup. Stop the server first, and start it again afterwards."
    details = """
The store is restored where its URL points (DATABASE_URL, EVENT_STORE_URL); missing databases and schemas are
created. A store that has rows is refused: nothing is ever overwritten. PATH is a backup, or a directory of
backups, of which the newest complete one is used. Its checksums are verified before anything is changed;
afterwards every table must match the manifest. A backup of an older version is migrated, one of a newer
version is refused.

The rest follows automatically. Accounts known to be erased are erased again (according to the backups beside
this one, the remaining stores, this machine's ledger, and every --erasures file). After the events store is
restored, new events are numbered beyond everything that clients may remember, older cursors get everything,
and the read models are rebuilt: nothing of the projections store needs to be restored.

--in-place performs only these last steps, after PostgreSQL's own means restored a store (a base backup, a
point in time). If the command is killed or fails half-way, run it again as it was. Until then db_init and
/health/ready refuse the store.

Exit codes: 0 done; 1 refused, failed or damaged; 2 invalid option.

  manage.py store_restore --store all --from /backups
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", choices=ALIASES, required=True)
        parser.add_argument("--from", type=Path, metavar="PATH", dest="source")
        parser.add_argument(
            "--in-place", action="store_true", help="the store is already restored: do the rest"
        )
        parser.add_argument(
            "--erasures",
            type=Path,
            metavar="FILE",
            action="append",
            default=[],
            help="a ledger of erased accounts from elsewhere; can be given several times",
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
