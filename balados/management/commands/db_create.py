from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from operations import grants, stores
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Create the databases and schemas of the stores, where they do not exist yet."
    details = """
DATABASE_URL, PROJECTIONS_URL and EVENT_STORE_URL say which, and where (docs/settings.md). The role in the
URL needs the right CREATEDB, unless the databases are there; in one that it does not own, the right CREATE.
It changes nothing that is there, and may be repeated.

--grant lets a role that an administrator has made do what a program needs (web, projector,
worker) and no more: in all stores, on the tables that are there. To be run after db_init, and again after
updates, restores and moves. --print shows the statements instead. docs/deploy.md

Every store of an instance has the same id. An empty events or system store is not made beside others that
are in use, because a mistyped URL would hide what is in the right one. Where it is lost: db_reset.

Exit codes: 0 everything is there; 1 it cannot be.

  manage.py db_create --grant web=balados_web --grant projector=balados_projector
"""
    aliases: tuple[str, ...] = tuple(stores.SCHEMAS)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--grant", action="append", default=[], type=_grant, metavar="PROGRAM=ROLE")
        parser.add_argument("--print", action="store_true", help="with --grant: only show what would be run")

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
