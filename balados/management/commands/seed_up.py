from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from operations.command import OperatorCommand
from operations.seeds import demo, reference
from operations.seeds.history import LISTENERS


class Command(OperatorCommand):
    help = "Bring the reference data (podcast categories) up to date; with --demo, add demo listeners."
    details = """
db_init brings the reference data up to date as well: what is missing is added, what was renamed is renamed,
and what you created yourself is kept. It can run while the server does, and as often as you like.

--demo adds four accounts (demo-...) with four weeks of listening history, recorded as an app would do it; the
projectors show it after a moment. The passwords are generated and shown once: they cannot be shown again. A
second run records nothing new. If other listeners have accounts, the command asks you to type DEMO first,
because the public activity of the four then appears among that of the others. seed_down --demo erases them.

Exit codes: 0 done; 1 refused or failed, with the reason.

  manage.py seed_up --demo
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="also add four accounts with a history")

    def handle(self, *args: Any, **options: Any) -> None:
        changes = reference.up(self.stdout.write)
        self.stdout.write(f"reference data: {changes}")
        if options["demo"]:
            self._demo()

    def _demo(self) -> None:
        missing = len(LISTENERS) - len(demo.accounts())
        if missing and (others := demo.others()):
            self.stdout.write(
                f"{others} listeners have accounts here; {missing} of the demonstration come to them."
            )
            self.confirm("DEMO")
        try:
            for made in demo.up(timezone.now(), self.stdout.write):
                password = f"password {made.password}" if made.password else "was there already"
                self.stdout.write(f"{made.username}: {password}, {made.events} events recorded")
        except demo.NameTaken as taken:
            raise CommandError(str(taken)) from taken
