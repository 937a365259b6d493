"""Django's commands that would touch one store, or none, without the care that the stores need."""

import sys
from typing import NoReturn

from django.core.management.base import BaseCommand

WHY = (
    "{name} is blocked on the command line: it knows neither the three stores nor their lock.\nUse {instead}"
)


class Blocked(BaseCommand):
    """Replaces Django's command of the same name, and is refused on the command line only.

    ``call_command`` still works, because the test runners need it. ``instead``: the command line to use
    instead, and what it does.
    """

    instead: str

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        self.stderr.write(self._why(argv[1]), self.style.ERROR)
        sys.exit(1)

    def print_help(self, prog_name: str, subcommand: str) -> None:
        self.stdout.write(self._why(subcommand))

    def _why(self, name: str) -> str:
        return WHY.format(name=name, instead=self.instead)
