from typing import Any

from accounts import setup
from operations import stores
from operations.command import OperatorCommand
from operations.seeds import reference


class Command(OperatorCommand):
    help = "Make the three stores ready for the server: what is missing of databases, tables, reference data."
    details = """
db_create, a look at whether the servers keep what they acknowledged, db_migrate, seed_up: to be run before
the first start and after every update, beside the running server too, and as often as you like. Two at once
do not disturb each other. The last line is the link for the first administrator, while there is none
(setup_link). The read models need nothing else: projectors fill them from the events.

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
