from typing import Any

from django.core.management.base import BaseCommand, CommandError

from balados import stores


class Command(BaseCommand):
    help = "Make an instance's three stores ready: db_create, a look at their durability, db_migrate."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        stores.create()
        try:
            stores.refuse_unsafe()
        except stores.UnsafeStore as error:
            raise CommandError(str(error)) from error
        stores.migrate(verbosity=options["verbosity"])
