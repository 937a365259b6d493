from argparse import ArgumentParser
from typing import Any, TextIO, cast

from django.db import Error

from accounts import setup
from eventstore import log
from operations import reset
from operations.command import OperatorCommand
from operations.reset import KINDS, Rows, What
from operations.stores import SCHEMAS, create, place


class Command(OperatorCommand):
    help = "Delete the contents of a store and recreate it. Shows first what is deleted, and asks."
    details = """
You confirm by typing a phrase in the terminal, or piping it in: DELETE for --projections and --system,
DELETE ALL EVENTS for --events, DELETE ALL DATA for --all. No option confirms for you. While DEBUG is off,
--system, --events and --all are refused unless ALLOW_DESTRUCTIVE_RESET=1 is in the environment and the names
of the databases are typed as well.

Stop web, live, projector and worker processes first. With make run: stop it, and start make servers. The
command touches only Balados' own tables, never others in the same database. If it is killed, run it again.
BALADOS_HOME/resets.log and the log record what was reset, when, by whom, and how many rows there were.

Exit codes: 0 done, 1 refused or failed, 2 invalid option.

    manage.py db_reset --projections
    ALLOW_DESTRUCTIVE_RESET=1 manage.py db_reset --events
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        for what, help_ in (
            ("projections", "the read models, which are rebuilt from the events"),
            ("system", "accounts, apps, tokens and sessions; events and read models are kept"),
            ("events", "everything that listeners did, permanently, and the read models; accounts are kept"),
            ("all", "everything, permanently"),
        ):
            chosen.add_argument(f"--{what}", dest="what", action="store_const", const=what, help=help_)

    def handle(self, *args: Any, **options: Any) -> None:
        what = cast(What, options["what"])
        self.touched = False
        reset.check_allowed(what)
        create(say=self.stdout.write, anew=KINDS[what].stores)  # recreates stores that are lost altogether
        rows = self._describe(what)
        self.confirm(KINDS[what].phrase)
        for name, asked in reset.names_to_type(what).items():
            self.confirm(name, asked)
        reset.run(what, rows, cast(TextIO, self.stdout))
        if what in ("system", "all") and (link := setup.one_time_link()):
            self.stdout.write(f"The first administrator: {link}")

    def _describe(self, what: What) -> Rows:
        """Print what is deleted and what stays; returns the rows that are deleted."""
        going: Rows = {}
        for alias in KINDS[what].stores:
            rows = reset.rows_of(alias)
            self.stdout.write(f"The {alias} store, {place(alias)}:")
            self.stdout.write("\n".join(f"  {name}: {count:,} rows" for name, count in rows.items()))
            going |= rows
        self.stdout.write(KINDS[what].consequence)
        if what == "system":
            self._tell_of_histories()
        if staying := [alias for alias in SCHEMAS if alias not in KINDS[what].stores]:
            self.stdout.write(f"What stays: {', '.join(staying)}.")
        return going

    def _tell_of_histories(self) -> None:
        try:
            left = len(log.users())
        except Error:
            return
        self.stdout.write(
            f"The histories of {left} listeners stay in the events store, but no account leads to them any"
            " more: erase_user cannot name them. Who wants them gone erases them before, or resets the events"
            " too."
        )
