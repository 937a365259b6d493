import gc
import signal
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from balados import readiness
from projections.runner import Runner


class Command(BaseCommand):
    help = "Keep the read models up to date, until SIGTERM or Ctrl-C. Several machines may run it."

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = False

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        patient_collector()
        Runner().run(stopped=lambda: stopped, ready=lambda: readiness.announce("projector"))


def patient_collector() -> None:
    """Pages of events hold no cycles, but many objects: looking for cycles took a fifth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
