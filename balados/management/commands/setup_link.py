from typing import Any

from accounts import setup
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Print the one-time link for creating the first administrator, or nothing if there is one already."

    def handle(self, *args: Any, **options: Any) -> None:
        if link := setup.one_time_link():
            self.stdout.write(link)
