from typing import Any

from django.conf import settings

from accounts import setup
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Print the one-time link that makes the first administrator; nothing once there is one."

    def handle(self, *args: Any, **options: Any) -> None:
        if token := setup.one_time_token():
            self.stdout.write(f"{settings.PUBLIC_URL}/setup?token={token}")
