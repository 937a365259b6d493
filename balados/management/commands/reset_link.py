from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounts.recovery import reset_link
from operations.command import OperatorCommand, user_named


class Command(OperatorCommand):
    help = "Print a link with which a listener can set a new password, once, within 24 hours."
    details = (
        "For listeners who forgot their password and have no e-mail address here, or if this server sends no"
        " mail."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["name"])
        if not user.is_active:
            raise CommandError("This account is switched off: no link opens it.")
        self.stdout.write(reset_link(user, timezone.now()))
