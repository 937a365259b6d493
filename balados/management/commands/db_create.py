from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from operations import grants, stores
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Create the databases and schemas of the stores where they do not exist yet."
    details = """
DATABASE_URL, PROJECTIONS_URL and EVENT_STORE_URL name the databases and their servers (docs/settings.md). The
role in the URL needs the privilege CREATEDB, unless the databases exist; in a database that it does not own,
it needs the privilege CREATE. The command changes nothing that exists, and can be repeated.

--grant gives a role that an administrator has created the privileges that a program (web, projector, worker)
needs, and no others: in all stores, on the tables that exist. Run it after db_init, and again after updates,
restores and moves. --print shows the statements instead of running them. See docs/deploy.md.

All stores of an instance have the same id. An empty events or system store is not created beside others that
are in use, because a mistyped URL would hide the data of the right store. If a store is really lost, use
db_reset.

Exit codes: 0 everything exists; 1 something cannot be created.

  manage.py db_create --grant web=balados_web --grant projector=balados_projector
"""
    aliases: tuple[str, ...] = tuple(stores.SCHEMAS)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--grant", action="append", default=[], type=_grant, metavar="PROGRAM=ROLE")
        parser.add_argument(
            "--print", action="store_true", help="with --grant: show the statements without running them"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["print"]:
            created = stores.create(self.aliases, self.stdout.write)
            self.stdout.write(
                f"created: {', '.join(created)}" if created else "every database was there already"
            )
        for program, role in options["grant"]:
            statements = grants.grant(program, role, only_print=options["print"])
            shown = list(statements)
            self.stdout.write("\n".join(shown) if options["print"] else f"{role}: {len(shown)} rights set")


def _grant(text: str) -> tuple[str, str]:
    program, _, role = text.partition("=")
    if program not in grants.PROGRAMS or not role:
        raise ArgumentTypeError(
            f"{text!r} is not PROGRAM=ROLE, with {', '.join(grants.PROGRAMS)} as programs"
        )
    return program, role
