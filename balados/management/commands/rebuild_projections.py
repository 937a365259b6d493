from argparse import ArgumentParser
from typing import Any, TextIO, cast

from operations.command import OperatorCommand
from operations.rebuilding import named, rebuild_beside
from projections.projectors import PROJECTORS


class Command(OperatorCommand):
    help = "Build read models anew from the events, beside the live ones, and swap them in at the end."
    details = """
Safe while the server runs: readers see the old rows until they see all of the new. A killed one changes
nothing. The live tables must be whole: where one is missing or was altered by hand, reset_projections
makes it anew first. It asks nothing.

Exit codes: 0 done, 1 failed (nothing changed), 2 a wrong option.

    manage.py rebuild_projections public_events popularity
"""
    rebuild = staticmethod(rebuild_beside)
    done = "Rebuilt"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="*", type=named, help="all projectors when none is given")

    def handle(self, *args: Any, **options: Any) -> None:
        projectors = list(dict.fromkeys(options["name"] or PROJECTORS.values()))
        notes = self.rebuild(projectors, cast(TextIO, self.stdout))
        done = f"{self.done}: {', '.join(each.name for each in projectors)}."
        self.stdout.write("\n".join([done, *notes]))
