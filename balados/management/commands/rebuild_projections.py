from argparse import ArgumentParser
from typing import Any, TextIO, cast

from operations.command import OperatorCommand
from operations.rebuilding import named, rebuild_beside
from projections.projectors import PROJECTORS


class Command(OperatorCommand):
    help = "Rebuild read models from the events, beside the live ones, and swap them in at the end."
    details = """
Safe while the server runs: readers see the old rows until they see all of the new ones. If it is killed,
nothing has changed. The live tables must be intact: recreate one that is missing or was altered by hand with
reset_projections first. It does not ask for confirmation.

Exit codes: 0 done, 1 failed (nothing changed), 2 invalid option.

    manage.py rebuild_projections public_events popularity
"""
    rebuild = staticmethod(rebuild_beside)
    done = "Rebuilt"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="*", type=named, help="projectors (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        projectors = list(dict.fromkeys(options["name"] or PROJECTORS.values()))
        notes = self.rebuild(projectors, cast(TextIO, self.stdout))
        done = f"{self.done}: {', '.join(each.name for each in projectors)}."
        self.stdout.write("\n".join([done, *notes]))
