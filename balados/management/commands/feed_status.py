from argparse import ArgumentParser
from typing import Any

import msgspec
from django.utils import timezone

from operations import feeds
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Tell how the feeds fare: how many are due, what fails and why, which hosts are left alone."
    touched = False
    details = """
  manage.py feed_status
  manage.py feed_status --json | jq .overdue_s

--json prints one object; its names are described in docs/operations.md. It costs the same whatever the feeds
hold. manage.py feed_show URL tells of one.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        report = feeds.report(now)
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report).decode())
            return
        for line in feeds.report_lines(report, now):
            self.stdout.write(line)
