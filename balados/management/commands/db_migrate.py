from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db.migrations.operations import RunSQL
from django.db.migrations.operations.base import Operation

from operations import migrations
from operations.command import OperatorCommand
from operations.confirmation import confirm
from operations.migrations import Plan, Target
from operations.stores import SCHEMAS, refuse_unsafe

# Their first migrations made the store itself: taking it away is a reset, which asks for more.
NEVER_UNDONE = ("accounts", "eventstore")


class Command(OperatorCommand):
    """``stores``: which ones, in this order, each under its lock. ``checks_durability``: whether to refuse a
    server that would lose writes."""

    help = "Bring the three stores to their newest migrations, while the server runs."
    stores: tuple[str, ...] = tuple(SCHEMAS)
    checks_durability = False
    details = """
It may run while the server does, and twice at once: the second one waits and says so. A migration that does
not get its tables within MIGRATION_LOCK_TIMEOUT lets others pass, tries again a few times, and then gives up
with nothing of it done. Killed, it is simply run again.

--check and --plan write nothing. --to goes to one migration, forwards or back; going back drops what the
migrations made, says what, and asks for a phrase.

Exit codes: 0 done, or nothing pending; 1 refused, failed, or (--check) something is pending.

  manage.py db_migrate --check || manage.py db_migrate
  manage.py db_migrate --to projections 0002 --plan
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--check", action="store_true", help="say what is pending; exit code 1 if anything")
        only.add_argument("--plan", action="store_true", help="say what each pending migration would do")
        parser.add_argument(
            "--to", nargs=2, metavar=("APP", "MIGRATION"), help="to this one; zero is before the first"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        to = migrations.find_target(*options["to"]) if options["to"] else None
        if to is not None and to.alias not in self.stores:
            raise CommandError(f"{to.app} is in the {to.alias} store: db_migrate goes there.")
        plans = {alias: migrations.plan(alias, to) for alias in ((to.alias,) if to else self.stores)}
        if options["plan"] or options["check"]:
            for alias, plan in plans.items():
                self._show(alias, plan, detailed=options["plan"])
            if options["check"] and any(plans.values()):
                raise CommandError("Migrations are pending: see above.")
            return
        if self.checks_durability:
            refuse_unsafe(self.stores)
        for alias, plan in plans.items():
            backwards = to is not None and any(undone for _, undone in plan)
            if to is not None and backwards:
                self._confirm(to, plan)
            migrations.migrate(alias, self.stdout.write, to, verbosity=options["verbosity"])
            if backwards:
                self.stdout.write("Run the version that fits: this one is not ready before db_migrate.")
            if backwards and alias == "projections":
                self.stdout.write("After it run rebuild_projections: tables made anew are empty.")

    def _confirm(self, to: Target, plan: Plan) -> None:
        """Say what going back takes away, and ask. Raises ``CommandError`` where it is no way to go."""
        if any(each.app_label in NEVER_UNDONE and each.name.startswith("0001") for each, _ in plan):
            raise CommandError("Nothing was done: that takes the whole store away. See db_reset.")
        stuck = [str(each) for each, _ in plan if not all(one.reversible for one in each.operations)]
        if stuck:
            raise CommandError(f"Nothing was done: there is no way back from {', '.join(stuck)}.")
        self._show(to.alias, plan, detailed=True)
        if to.alias != "projections":
            self.stdout.write(f"No event brings back what goes from the {to.alias} store: is there a backup?")
        confirm(f"BACK TO {to.app} {to.migration or 'zero'}", self.stdout)

    def _show(self, alias: str, plan: Plan, *, detailed: bool) -> None:
        back = any(undone for _, undone in plan)
        self.stdout.write(f"{alias}: {len(plan) or 'nothing'} {'to undo' if back else 'pending'}")
        for migration, undone in plan:
            self.stdout.write(f"  {'undo ' if undone else ''}{migration.app_label} {migration.name}")
            for operation in migration.operations if detailed else ():
                self.stdout.write(f"    {_effect(operation, undone)}")
        for name in migrations.unknown(alias):
            self.stdout.write(f"  {name} is applied, and unknown to this version: a newer one was here")


def _effect(operation: Operation, undone: bool) -> str:
    if not undone:
        return operation.formatted_description()
    if isinstance(operation, RunSQL):
        return f"runs: {operation.reverse_sql}"
    return f"undoes: {operation.describe()}"
