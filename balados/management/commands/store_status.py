import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from operations import status
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Tell how the three stores are doing, and whether one has grown enough to live on its own."
    touched = False
    details = """
Asks every store for size, tables, slow queries and connections, the log for its events, the projectors for
their lag. It changes nothing and costs the same however large a store is: rows are the server's estimate.

  manage.py store_status
  manage.py store_status --json | jq '.advice[] | select(.split).store'

--json prints one object; its names are described in docs/operations.md.
Exit codes: 0 every store answers, 1 one is away (the others are shown), 2 a wrong option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        report = status.report()
        shown = json.dumps(report, indent=2) if options["json"] else "\n".join(status.lines(report))
        self.stdout.write(shown)
        if away := [alias for alias, store in report["stores"].items() if not store["up"]]:
            raise CommandError(f"Away: {', '.join(away)}.")
