import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounts import erasure
from accounts.models import User
from operations.command import OperatorCommand
from projections.erasure import erase_history


class Command(OperatorCommand):
    help = "Erase a user and everything that is known of him, for good. Repeat it where it was interrupted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["name"])
        except User.DoesNotExist:
            raise CommandError("No such user.") from None
        if not options["yes"]:
            self.stdout.write("Everything of this user goes, and nobody can bring it back.")
            self.stdout.write("The user name again: ", ending="")
            if sys.stdin.readline().rstrip("\n") != user.username:
                raise CommandError("Not the same name: nothing done.")
        erasure.begin(user.pk, timezone.now())
        for what, count in erasure.complete(user.pk, erase_history).items():
            self.stdout.write(f"{what}: {count}")
