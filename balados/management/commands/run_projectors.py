import signal
import sys
from argparse import ArgumentParser
from typing import Any

from balados import readiness
from operations.command import OperatorCommand
from operations.rebuilding import named
from projections.garbage import relaxed_gc
from projections.projectors import PROJECTORS
from projections.runner import Runner


class Command(OperatorCommand):
    help = "Keep the read models up to date until SIGTERM or Ctrl-C. Several machines can run it at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="*", type=named, help="projectors (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        signals: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: signals.append(number))

        def stopped() -> bool:
            readiness.refresh("projector")
            return bool(signals)

        # Projectors that lag decode in their threads: this limits the live loop's wait for the interpreter
        # lock to a tenth of the default (p90 from append to projection beside a lagging projector: 9 ms
        # instead of 16).
        sys.setswitchinterval(0.0005)
        with relaxed_gc():
            runner = Runner(options["name"] or PROJECTORS.values())
            runner.run(stopped=stopped, ready=lambda: readiness.announce("projector"))
