from argparse import ArgumentParser
from typing import Any, TextIO, cast

import msgspec
from django.core.management.base import CommandError

from accounts.models import User
from eventstore.log import StreamErased
from operations.command import OperatorCommand
from operations.verification import Report, clean_line, lines, verify


class Command(OperatorCommand):
    help = "Compare the read models with what the events make of them, and look through the log itself."
    details = """
Reads every event, every stream's order and every kept state, folds the log into scratch tables and
compares them with the live ones, row by row. Safe while the server runs: it changes nothing live, and
removes its scratch tables (…__verify) at the end, or the next run does. It takes about as long as a
rebuild, and the room of one.

A row is named by its table and a digest of its key, an event by its position: never a value, a feed or a
user. The digest of a row is the same in every run.

A flipped bit that leaves an event readable shows in the read models that were made before, or in kept
states; nothing else could tell.

Exit codes: 0 everything agrees, 1 something was found, or it failed, 2 a wrong option.

    manage.py verify --user alice
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="NAME", help="what concerns this listener alone")
        parser.add_argument("--json", action="store_true", help="the findings as one object, on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        # progress goes to stderr where stdout is for a program
        out = cast(TextIO, self.stderr if options["json"] else self.stdout)
        try:
            user_id = None if options["user"] is None else User.objects.get_by_natural_key(options["user"]).pk
            report = verify(out, user_id)
        except (User.DoesNotExist, StreamErased):
            raise CommandError(f"No such user: {options['user']}.") from None
        self._tell(report, as_json=options["json"])
        if report.findings:
            raise CommandError(f"{report.findings:,} findings.")

    def _tell(self, report: Report, *, as_json: bool) -> None:
        if as_json:
            found = {"clean": not report.findings, **msgspec.to_builtins(report)}
            self.stdout.write(msgspec.json.encode(found).decode())
            return
        for line in lines(report):
            self.stdout.write(line)
        if not report.findings:
            self.stdout.write(clean_line(report))
