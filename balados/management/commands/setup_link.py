from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from accounts import setup


class Command(BaseCommand):
    help = "Print the one-time link that makes the first administrator; nothing once there is one."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if token := setup.one_time_token():
            self.stdout.write(f"{settings.PUBLIC_URL}/setup?token={token}")
