from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from eventstore import log, streams
from eventstore.dispatcher import StreamErased, StreamUnreadable
from operations.command import OperatorCommand, user_named


class Command(OperatorCommand):
    help = (
        "Rebuild, from the events, the state that commands are decided on: the newest entry of every"
        " topic and key."
    )
    details = """
Safe while the server runs; writes wait for as long as it takes to fold one listener's history. Needed only if
verify reports that stored entries differ from what the events produce.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="NAME", help="only of this user")

    def handle(self, *args: Any, **options: Any) -> None:
        users = log.users() if options["user"] is None else [user_named(options["user"]).pk]
        unreadable = 0
        for user_id in users:
            try:
                streams.rebuild(user_id)
            except StreamErased:
                continue  # erased meanwhile
            except StreamUnreadable as error:
                unreadable += 1
                self.stderr.write(f"stream {log.stream_of(user_id)}: {error}")
        self.stdout.write(f"Folded anew: {len(users) - unreadable} of {len(users)} listeners.")
        if unreadable:
            raise CommandError(f"{unreadable} could not be read.")
