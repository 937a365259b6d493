from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from operations.command import OperatorCommand
from operations.seeds import demo, reference


class Command(OperatorCommand):
    help = "Remove the reference data that seed_up made; with --demo the demonstration's accounts instead."
    details = """
Without --demo: exactly the rows that seed_up made, unless something refers to them; then nothing, and what
refers to them is named. The next db_init or seed_up makes them again.

--demo erases the accounts that seed_up --demo made, with all their history, as erase_user erases anybody. It
knows them by their ids, which no other account can have; it says which, and asks you to type DELETE.
Interrupted, it is simply run again.

Exit codes: 0 done, or there was nothing; 1 refused or failed, with the reason.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--demo", action="store_true", help="the demonstration's accounts, and only these"
        )

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
