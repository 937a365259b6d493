from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts import erasure
from accounts.models import User
from eventstore import administration
from operations.command import OperatorCommand, user_named
from projections.erasure import erase_history


class Command(OperatorCommand):
    help = "Erase a user and all data about them, permanently. If it is interrupted, run it again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")

    def handle(self, *args: Any, **options: Any) -> None:
        self.touched = options["yes"]
        user = user_named(options["name"])
        if not options["yes"]:
            self._tell(user)
            self.confirm(user.username, "the user name again")
        erasure.begin(user.pk, timezone.now())
        for what, count in erasure.complete(user.pk, erase_history).items():
            self.stdout.write(f"{what}: {count}")

    def _tell(self, user: User) -> None:
        """Print what is deleted."""
        apps, tokens = user.app_grants.count(), user.play_tokens.count()
        self.stdout.write(
            f"This goes for good, and nobody can bring it back: the account {user.username} of"
            f" {user.date_joined:%Y-%m-%d}, {apps} apps and {tokens} play tokens of his, his sessions, and"
            f" {administration.count_events_of(user.pk):,} events with all that is shown of them."
        )
