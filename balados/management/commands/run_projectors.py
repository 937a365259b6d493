import signal
import sys
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import CommandError

from balados import readiness
from operations.command import OperatorCommand
from projections.garbage import relaxed_gc
from projections.projectors import PROJECTORS
from projections.runner import Runner


class Command(OperatorCommand):
    help = "Keep the read models up to date, until SIGTERM or Ctrl-C. Several machines may run it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="projector", help=f"{', '.join(PROJECTORS)}; all when none is given"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["names"] or list(PROJECTORS)
        if unknown := [name for name in names if name not in PROJECTORS]:
            raise CommandError(f"No such projector: {', '.join(unknown)}. There are {', '.join(PROJECTORS)}.")
        stopped = False

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # a late projector decodes in its thread: the live loop waits a tenth of the usual for the interpreter
        # (p90 from append to projected, beside a late one: 9 ms instead of 16)
        sys.setswitchinterval(0.0005)
        with relaxed_gc():
            runner = Runner(PROJECTORS[name] for name in names)
            runner.run(stopped=lambda: stopped, ready=lambda: readiness.announce("projector"))
