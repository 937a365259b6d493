from typing import Any

from operations import stores
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Create the databases and schemas of the three stores, where they do not exist yet."

    def handle(self, *args: Any, **options: Any) -> None:
        created = stores.create()
        self.stdout.write(f"created: {', '.join(created)}" if created else "every database was there already")
