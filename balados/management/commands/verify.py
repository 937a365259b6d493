from argparse import ArgumentParser
from typing import Any, TextIO, cast

import msgspec
from django.core.management.base import CommandError

from operations.command import OperatorCommand
from operations.verification import clean_line, lines, verify


class Command(OperatorCommand):
    help = "Compare the read models with what the events make of them, and look through the log itself."
    touched = False
    details = """
Reads every event and every stream's order, folds the log into scratch tables and compares them with the
live ones, row by row. Safe while the server runs: it changes nothing live, and removes its scratch tables
(…__verify) at the end, or the next run does. It takes about as long as a rebuild, and the room of one.

A row is named by its table and a digest of its key, an event by its position: never a value, a feed or a
user. The digest of a row is the same in every run. A flipped bit that leaves an event readable shows in the
read models that were made before; nothing else could tell.

Exit codes: 0 everything agrees, 1 something was found, or it failed, 2 a wrong option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the findings as one object, on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        # progress goes to stderr if stdout is read by a program
        report = verify(cast(TextIO, self.stderr if options["json"] else self.stdout))
        if options["json"]:
            found = {"clean": not report.findings, **msgspec.to_builtins(report)}
            self.stdout.write(msgspec.json.encode(found).decode())
        else:
            self.stdout.write("\n".join([*lines(report)] or [clean_line(report)]))
        if report.findings:
            raise CommandError(f"{report.findings:,} findings.")
