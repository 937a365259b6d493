from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from jobs import retention
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Run the worker once: checkpoints, popularity, and deleting what is too old. It runs every 5 minutes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before",
            type=_time,
            metavar="TIME",
            help="what was recorded before is old (RFC 3339 with an offset); else RETENTION_DAYS decides",
        )
        parser.add_argument(
            "--chunk", type=_positive, default=retention.CHUNK, help="old events per transaction"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = retention.run(options["before"], say=self.stdout.write, chunk=options["chunk"])
        except retention.AlreadyRunning:
            raise CommandError("Another worker is running: nothing done.") from None
        self.stdout.write(
            f"{done.users_checkpointed} of {done.users_due} users checkpointed,"
            f" {done.figures_changed} figures changed, {done.events_deleted} events deleted"
            f" in {sum(done.seconds.values()):.1f} s"
        )
        for step, seconds in done.seconds.items():
            self.stdout.write(f"  {step}: {seconds:.2f} s")
        if not done.passed:
            self.stdout.write("Projectors are behind, or have dead letters: the next run deletes the rest.")


def _time(text: str) -> datetime:
    time = parse_datetime(text)
    if time is None or time.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} is not a time of RFC 3339 with an offset, such as Z")
    if time > timezone.now():
        raise ArgumentTypeError(f"{text} is not past: everything would be old")
    return time


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
