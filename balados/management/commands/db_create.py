from typing import Any

from operations import stores
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Create the databases and schemas of the stores, where they do not exist yet."
    details = """
DATABASE_URL, PROJECTIONS_URL and EVENT_STORE_URL say which, and where (docs/settings.md). The role in the
URL needs the right CREATEDB, unless the databases are there; in one that it does not own, the right CREATE.
It changes nothing that is there, and may be repeated.

Exit codes: 0 everything is there; 1 it cannot be.
"""
    aliases: tuple[str, ...] = tuple(stores.SCHEMAS)

    def handle(self, *args: Any, **options: Any) -> None:
        created = stores.create(self.aliases, self.stdout.write)
        self.stdout.write(f"created: {', '.join(created)}" if created else "every database was there already")
