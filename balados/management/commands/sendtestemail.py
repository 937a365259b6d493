from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import sendtestemail


class Command(sendtestemail.Command):
    """Says what became of the mail: Django's command says nothing, even where mails are switched off."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SENDS_MAIL:
            raise CommandError("EMAIL_URL names no mail server here: no mail is sent (docs/operations.md).")
        try:
            super().handle(*args, **options)
        except (OSError, SMTPException) as failure:
            raise CommandError(f"The mail was not sent: {failure}") from failure
        self.stdout.write("The mail was sent.")
