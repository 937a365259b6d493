import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from psycopg.errors import LockNotAvailable

from balados.management.commands.run_projectors import patient_collector
from operations.command import OperatorCommand
from projections.projectors import PROJECTORS
from projections.rebuild import AlreadyRunning, rebuild
from projections.shadows import TableChanged


class Command(OperatorCommand):
    help = "Build read models anew from the events, beside the live ones, and swap them in at the end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name", nargs="*", help=f"of {', '.join(PROJECTORS)}; all of them when none is given"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["name"] or list(PROJECTORS)
        if unknown := [name for name in names if name not in PROJECTORS]:
            raise CommandError(f"No such projector: {', '.join(unknown)}. There are {', '.join(PROJECTORS)}.")
        try:
            with patient_collector():
                rebuild([PROJECTORS[name] for name in names], self._progress())
        except AlreadyRunning as error:
            raise CommandError(f"{error} is being rebuilt by another process.") from error
        except LockNotAvailable as error:
            raise CommandError(
                "Other sessions hold the tables for long: nothing changed, try again."
            ) from error
        except TableChanged as error:
            raise CommandError(f"{error} was migrated meanwhile: nothing changed, try again.") from error
        self.stdout.write(f"Rebuilt: {', '.join(names)}.")

    def _progress(self) -> Any:
        started = said = time.monotonic()

        def progress(position: int, head: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= 1 or position == head:
                said = now
                self.stdout.write(f"{position} of {head}, {position / (now - started):,.0f} events/s")

        return progress
