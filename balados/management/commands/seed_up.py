from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from operations.command import OperatorCommand
from operations.seeds import demo, reference
from operations.seeds.history import LISTENERS


class Command(OperatorCommand):
    help = "Bring the reference data (podcast categories) up to date; with --demo add listeners to show."
    details = """
Reference data is what db_init brings up as well: what is missing is added, what was renamed is renamed, what
you made yourself stays. It may run while the server does, and as often as you like.

--demo adds four accounts (demo-...) with four weeks of listening behind them, recorded as an app would do it;
the projectors show it in a moment. Their passwords are made here and shown once: nobody can show them again.
Run again it records nothing new. Where other listeners have accounts it asks you to type DEMO first, because
what the four do in public is then seen among what the others do. seed_down --demo erases them.

Exit codes: 0 done; 1 refused or failed, with the reason.

  manage.py seed_up --demo
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="four accounts and their history, too")

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
