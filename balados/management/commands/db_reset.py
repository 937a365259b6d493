from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, TextIO, cast

from django.conf import settings
from django.db import Error

from accounts import setup
from eventstore import log
from operations import reset
from operations.command import OperatorCommand
from operations.confirmation import confirm
from operations.reset import KINDS, Holding, What
from operations.stores import SCHEMAS


class Command(OperatorCommand):
    help = "Delete what a store holds and make it anew. It says first what goes, and asks."
    details = """
It asks for a phrase, from the terminal or piped in: DELETE for --projections and --system,
DELETE ALL EVENTS for --events, DELETE ALL DATA for --all. There is no option that answers for you.
--system, --events and --all are refused where DEBUG is off, unless ALLOW_DESTRUCTIVE_RESET=1 is in
the environment and the names of the databases are typed as well.

It touches only Balados' own tables, never others in the same database. One reset runs at a time, and
no migration of the same store beside it. A killed one is repeated. What was reset, when, by whom and how
many rows there were is written to BALADOS_HOME/resets.log and to the log.

Exit codes: 0 done, 1 refused or failed, 2 a wrong option.

    manage.py db_reset --projections
    ALLOW_DESTRUCTIVE_RESET=1 manage.py db_reset --events
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        for what, help_ in (
            ("projections", "the read models: rebuilt from the events, safe while the server runs"),
            ("system", "accounts, apps, tokens, sessions; events and read models stay"),
            ("events", "everything that listeners did, for good; the read models with it; accounts stay"),
            ("all", "everything, for good"),
        ):
            chosen.add_argument(f"--{what}", dest="what", action="store_const", const=what, help=help_)

    def handle(self, *args: Any, **options: Any) -> None:
        what = cast(What, options["what"])
        reset.check_allowed(what)
        held = reset.holdings(what)
        self.stdout.write("\n".join(_describe(what, held)))
        out = cast(TextIO, self.stdout)
        confirm(KINDS[what].phrase, out)
        for name, asked in reset.names_to_type(what, held).items():
            confirm(name, out, asked=asked)
        with reset.only_reset(), reset.audited(what, held):
            done = reset.run(what, out)
        self.stdout.write("\n".join(done))
        if what in ("system", "all") and (token := setup.one_time_token()):
            self.stdout.write(f"The first administrator: {settings.PUBLIC_URL}/setup?token={token}")


def _describe(what: What, held: list[Holding]) -> Iterator[str]:
    for each in held:
        yield f"The {each.alias} store, database {each.database} on {each.place}:"
        if each.tables is None:
            yield "  the database does not exist, and is made"
            continue
        for table in each.tables:
            yield f"  {table.name}: {table.rows:,} rows"
        if not each.tables:
            yield "  nothing in it"
        for table in each.others:
            yield f"  stays, not ours: {table.name}"
    yield KINDS[what].consequence
    if what == "system":
        yield from _histories_left()
    if staying := [alias for alias in SCHEMAS if alias not in {each.alias for each in held}]:
        yield f"What stays: {', '.join(staying)}."


def _histories_left() -> Iterator[str]:
    try:
        left = len(log.users())
    except Error:
        return
    yield (
        f"The histories of {left} listeners stay in the events store, but no account leads to them any more:"
        " erase_user cannot name them. Who wants them gone erases them before, or resets the events too."
    )
