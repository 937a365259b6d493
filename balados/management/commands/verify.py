from argparse import ArgumentParser
from typing import Any, TextIO, cast

import msgspec
from django.core.management.base import CommandError

from operations.command import OperatorCommand
from operations.verification import clean_line, lines, verify


class Command(OperatorCommand):
    help = "Compare the read models with what the events produce, and check the log itself."
    touched = False
    details = """
Reads every event and checks the order of every stream, folds the log into scratch tables, and compares them
with the live tables row by row. Safe while the server runs: it changes nothing live, and removes its scratch
tables (…__verify) at the end, or else the next run does. It takes about as much time and disk space as a
rebuild.

A row is identified by its table and a digest of its key, an event by its position: never by a value, a feed
or a user. The digest of a row is the same in every run. A flipped bit that leaves an event readable shows
only in read models that were built before it flipped; nothing else can reveal it.

Exit codes: 0 everything matches, 1 something was found or the command failed, 2 invalid option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="print the findings as one JSON object on stdout"
        )

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
