from argparse import ArgumentParser
from typing import Any

import msgspec
from django.utils import timezone

from operations import feeds
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Show the state of all feeds: how many are due, what fails and why, and which hosts are paused."
    touched = False
    details = """
  manage.py feed_status
  manage.py feed_status --json | jq .overdue_s

--json prints one object; its keys are described in docs/operations.md. The cost does not depend on the
contents of the feeds. manage.py feed_show URL shows a single feed.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        report = feeds.report(now)
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report).decode())
            return
        for line in feeds.report_lines(report, now):
            self.stdout.write(line)
