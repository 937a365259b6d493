import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from operations import status
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Show the state of the three stores, and whether one has grown enough for a database of its own."
    touched = False
    details = """
Asks every store for its size, tables, slow queries and connections, the log for its events, and the
projectors for their lag. It changes nothing, and costs the same however large a store is: row counts are the
server's estimates.

  manage.py store_status
  manage.py store_status --json | jq '.advice[] | select(.split).store'

--json prints one object; its keys are described in docs/operations.md.
Exit codes: 0 every store answers, 1 one is unavailable (the others are shown), 2 invalid option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        report = status.report()
        shown = json.dumps(report, indent=2) if options["json"] else "\n".join(status.lines(report))
        self.stdout.write(shown)
        if away := [alias for alias, store in report["stores"].items() if not store["up"]]:
            raise CommandError(f"Away: {', '.join(away)}.")
