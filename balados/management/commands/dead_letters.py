from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from operations.command import OperatorCommand
from projections import deadletters
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.worker import Worker


class Command(OperatorCommand):
    help = "List the events that projectors could not apply, or retry them after a fix."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", choices=PROJECTORS, help="one projector (default: all)")
        parser.add_argument(
            "--retry", action="store_true", help="apply the waiting events, each stream in its order"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, self.touched = options["name"], options["retry"]
        with connect("projections") as connection:
            if options["retry"]:
                waiting = 0
                for projector in PROJECTORS.values():
                    if name in (None, projector.name):
                        applied, left = deadletters.retry(Worker(projector, connection))
                        self.stdout.write(f"{projector.name}: {applied} applied, {left} left")
                        waiting += left
                if waiting:
                    raise CommandError(f"{waiting} dead letters are left.")
                return
            letters = deadletters.letters(connection, name)
        for letter in letters:
            reason = letter.error or "waits behind an earlier event of its stream"
            self.stdout.write(
                f"{letter.projector} position {letter.position} stream {letter.stream} {letter.type}"
                f" tried {letter.attempts} times: {reason}"
            )
        self.stdout.write(f"{len(letters)} dead letters" if letters else "No dead letters.")
