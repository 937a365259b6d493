from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class OperationsConfig(AppConfig):
    """What an operator does with the stores; the commands themselves are in balados/management/commands."""

    name = "operations"

    def ready(self) -> None:
        # the signal is sent for every app: listening to one of them is enough
        pre_migrate.connect(_check_maintenance, sender=apps.get_app_config("eventstore"))


def _check_maintenance(using: str, **_: Any) -> None:
    """A migration changes tables by statements that the triggers of maintenance do not see."""
    from operations import maintenance

    maintenance.check(using)
