from typing import Any

from django.core.management.base import CommandError

from operations.blocked import Blocked


class Command(Blocked):
    """Of django-extensions, which people know; there is none to call inside Django either."""

    help = "Blocked: db_reset."
    instead = "db_reset, which says first what goes and what stays."

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(self._why("reset_db"))
