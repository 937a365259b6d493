from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class OperationsConfig(AppConfig):
    """What an operator does with the stores; the commands themselves are in balados/management/commands."""

    name = "operations"

    def ready(self) -> None:
        # the signal is sent once per app: listening to one of them is enough
        pre_migrate.connect(_check_maintenance, sender=apps.get_app_config("eventstore"))


def _check_maintenance(using: str, **_: Any) -> None:
    """Raise ``InMaintenance`` where the store is closed: the maintenance triggers do not see a migration's
    DDL."""
    from operations import maintenance

    maintenance.check(using)
