from typing import Any

from django.core.management.base import CommandError

from operations import stores
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Make an instance's three stores ready: db_create, a look at their durability, db_migrate."

    def handle(self, *args: Any, **options: Any) -> None:
        stores.create()
        try:
            stores.refuse_unsafe()
        except stores.UnsafeStore as error:
            raise CommandError(str(error)) from error
        stores.migrate(verbosity=options["verbosity"])
