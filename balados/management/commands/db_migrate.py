from typing import Any

from django.core.management.base import BaseCommand

from balados import stores


class Command(BaseCommand):
    help = "Bring the three stores to their newest migrations; a second migrator waits for the first."

    def handle(self, *args: Any, **options: Any) -> None:
        stores.migrate(verbosity=options["verbosity"])
