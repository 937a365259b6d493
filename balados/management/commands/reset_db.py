from typing import Any

from django.core.management.base import CommandError

from operations.blocked import Blocked


class Command(Blocked):
    """Blocks a command of django-extensions that people may know. Django has no such command, so
    ``call_command`` is refused too."""

    help = "Blocked: use db_reset."
    instead = "manage.py db_reset, which first shows what is deleted and what is kept."

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(self._why("reset_db"))
