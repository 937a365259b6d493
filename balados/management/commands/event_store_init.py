from typing import Any

from django.core.management.base import CommandError

from operations import stores
from operations.migrating import MigrateCommand


class Command(MigrateCommand):
    help = "Make the events store ready: a server that keeps what it acknowledged, and the newest tables."
    stores = ("events",)

    def migrate(self, **options: Any) -> None:
        try:
            stores.refuse_unsafe(self.stores)
        except stores.UnsafeStore as refused:
            raise CommandError(str(refused)) from refused
        super().migrate(**options)
