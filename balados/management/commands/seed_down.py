from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from operations.command import OperatorCommand
from operations.seeds import demo, reference


class Command(OperatorCommand):
    help = "Remove the reference data that seed_up added; with --demo, remove the demo accounts instead."
    details = """
Without --demo: removes exactly the rows that seed_up added. If something refers to one of them, it removes
nothing and says what refers to it. The next db_init or seed_up adds them again.

--demo erases the accounts that seed_up --demo created, with all their history, as erase_user does. It
recognises them by their ids, which no other account can have, lists them, and asks you to type DELETE. If it
is interrupted, run it again.

Exit codes: 0 done, or nothing to remove; 1 refused or failed, with the reason.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="remove the demo accounts, and only these")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["demo"]:
            self._demo()
            return
        try:
            removed = reference.down(self.stdout.write)
        except reference.InUse as used:
            raise CommandError(f"Nothing was removed: {used}.") from used
        self.stdout.write(f"reference data: {removed} rows removed")

    def _demo(self) -> None:
        self.touched = False
        accounts = demo.accounts()
        if not accounts:
            self.stdout.write("There are no accounts of the demonstration.")
            return
        names = ", ".join(user.username for user in accounts)
        self.stdout.write(f"These accounts go with everything they did, for good: {names}.")
        self.confirm("DELETE")
        demo.down(accounts, timezone.now(), self.stdout.write)
