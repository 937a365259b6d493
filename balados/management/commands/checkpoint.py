from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from eventstore import log, retention
from jobs.retention import checkpoint
from operations.command import OperatorCommand, user_named


class Command(OperatorCommand):
    help = (
        "Take a checkpoint, one event with the whole state, of every user who has events since the last one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="NAME", help="only of this user")

    def handle(self, *args: Any, **options: Any) -> None:
        now = log.database_time()
        before = now - timedelta(days=settings.RETENTION_DAYS)
        users = retention.users_without_checkpoint()
        if options["user"] is not None:
            wanted = user_named(options["user"]).pk
            users = [user_id for user_id in users if user_id == wanted]
        taken = sum(checkpoint(user_id, now, before) for user_id in users)
        self.stdout.write(f"{taken} checkpoints taken.")
        if taken < len(users):
            raise CommandError(f"{len(users) - taken} users could not be read, or were busy: see the log.")
