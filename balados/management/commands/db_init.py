from typing import Any

from accounts import setup
from operations import stores
from operations.command import OperatorCommand
from operations.seeds import reference


class Command(OperatorCommand):
    help = "Prepare the three stores for the server: create missing databases, tables and reference data."
    details = """
Runs db_create, checks that the servers keep the writes that they acknowledge, and runs db_migrate and
seed_up. Run it before the first start and after every update, also while the server runs, and as often as
you like. Two runs at once do not disturb each other. While there is no administrator, the last line is the
link for creating the first one (setup_link). The read models need nothing else: projectors fill them from
the events.

Exit codes: 0 ready; 1 refused or failed, with the reason.
"""

    def handle(self, *args: Any, **options: Any) -> None:
        say = self.stdout.write
        for name in stores.create(say=say, safe=True):
            say(f"created: {name}")
        stores.migrate(options["verbosity"], say)
        changes = reference.up(say)
        if options["verbosity"]:
            say(f"reference data: {changes}")
        if link := setup.one_time_link():
            say(link)
