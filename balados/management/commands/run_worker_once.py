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
        "Run the worker once: take checkpoints, update popularity, and delete old events. It runs every"
        " 5 minutes by itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before",
            type=_time,
            metavar="TIME",
            help="events recorded before this are old (RFC 3339 with an offset; default: by RETENTION_DAYS)",
        )
        parser.add_argument(
            "--chunk", type=_positive, default=retention.CHUNK, help="old events to delete per transaction"
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
        raise ArgumentTypeError(f"{text!r} is not an RFC 3339 time with an offset, such as Z")
    if time > timezone.now():
        raise ArgumentTypeError(f"{text} is not in the past: everything would be old")
    return time


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)
