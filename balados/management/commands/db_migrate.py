from typing import Any

from operations import stores
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Bring the three stores to their newest migrations; a second migrator waits for the first."

    def handle(self, *args: Any, **options: Any) -> None:
        stores.migrate(verbosity=options["verbosity"])
