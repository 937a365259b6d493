from typing import Any

from django.core.management.base import BaseCommand

from balados import stores


class Command(BaseCommand):
    help = "Create the databases and schemas of the three stores, where they do not exist yet."

    def handle(self, *args: Any, **options: Any) -> None:
        created = stores.create()
        self.stdout.write(f"created: {', '.join(created)}" if created else "every database was there already")
