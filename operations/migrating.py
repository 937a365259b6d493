"""What db_migrate and the commands for one store have in common."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db.migrations.operations import AddField, CreateModel, RunSQL
from django.db.migrations.operations.base import Operation

from operations import inventory, migrations
from operations.command import OperatorCommand
from operations.confirmation import confirm
from operations.exclusive import raw_connection
from operations.migrations import Step, Target

# What these made is the store itself: taking it away is a reset, which asks for more.
FIRST = {("accounts", "0001_initial"), ("eventstore", "0001_schema")}


class MigrateCommand(OperatorCommand):
    """``stores``: which ones, in this order. One after the other, each under its lock."""

    stores: tuple[str, ...] = ()
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
        try:
            self._handle(**options)
        except migrations.NotMigrated as refused:
            raise CommandError(str(refused)) from refused

    def migrate(self, **options: Any) -> None:
        for alias in self.stores:
            migrations.migrate(alias, self.stdout.write, verbosity=options["verbosity"])

    def _handle(self, **options: Any) -> None:
        to = self._target(options["to"])
        if options["plan"] or options["check"]:
            pending = [
                self._list(alias, migrations.steps(alias, to), detailed=options["plan"])
                for alias in ((to.alias,) if to else self.stores)
            ]
            if options["check"] and any(pending):
                raise CommandError("Migrations are pending: see above.")
        elif to is None:
            self.migrate(**options)
        else:
            self._go(to, migrations.steps(to.alias, to), options["verbosity"])

    def _target(self, given: list[str] | None) -> Target | None:
        if given is None:
            return None
        to = migrations.target(*given)
        if to.alias not in self.stores:
            raise CommandError(f"{to.app} is in the {to.alias} store: db_migrate goes there.")
        return to

    def _go(self, to: Target, steps: list[Step], verbosity: int) -> None:
        if any(step.backwards for step in steps):
            if any((step.migration.app_label, step.migration.name) in FIRST for step in steps):
                raise CommandError("Nothing was done: that takes the whole store away. See db_reset.")
            stuck = [step.name for step in steps if not all(x.reversible for x in step.migration.operations)]
            if stuck:
                raise CommandError(f"Nothing was done: there is no way back from {', '.join(stuck)}.")
            self._list(to.alias, steps, detailed=True)
            if to.alias != "projections":
                self.stdout.write(
                    f"What goes from the {to.alias} store, no event brings back: is there a backup?"
                )
            confirm(f"BACK TO {to.app} {to.migration or 'zero'}", self.stdout)
        migrations.migrate(to.alias, self.stdout.write, to, verbosity=verbosity)
        if steps and steps[0].backwards:
            self.stdout.write("Run the version that fits: this one is not ready until db_migrate was run.")
            if to.alias == "projections":
                self.stdout.write(
                    "After that db_migrate run rebuild_projections: tables made anew are empty."
                )

    def _list(self, alias: str, steps: list[Step], *, detailed: bool) -> int:
        """Says what the steps are, and returns how many."""
        here = [step for step in steps if step.here]
        back = any(step.backwards for step in steps)
        self.stdout.write(f"{alias}: {len(steps) or 'nothing'} {'to undo' if back else 'pending'}")
        rows = self._rows(alias) if detailed and back else {}
        for step in here:
            self.stdout.write(f"  {'undo ' if step.backwards else ''}{step.name}")
            for line in _effects(step, rows) if detailed else []:
                self.stdout.write(f"    {line}")
        if others := len(steps) - len(here):
            self.stdout.write(f"  {others} of other stores, which are only noted here")
        for name in migrations.unknown(alias):
            self.stdout.write(f"  {name} is applied, and unknown to this version: a newer one was here")
        return len(steps)

    def _rows(self, alias: str) -> dict[str, int]:
        return {table.name: table.rows for table in inventory.tables(raw_connection(alias), alias)}


def _effects(step: Step, rows: dict[str, int]) -> list[str]:
    operations = step.migration.operations
    if not step.backwards:
        return [operation.formatted_description() for operation in operations]
    return [line for operation in reversed(operations) for line in _undoing(operation, step, rows)]


def _undoing(operation: Operation, step: Step, rows: dict[str, int]) -> list[str]:
    """What goes with an operation, in words that need no knowledge of Django."""
    match operation:
        case CreateModel() if not operation.options.get("managed", True):
            return []
        case CreateModel():
            usual = f"{step.migration.app_label}_{operation.name_lower}"
            table = str(operation.options.get("db_table", usual)).replace('"', "")
            counted = next((count for name, count in rows.items() if name in (table, f"system.{table}")), 0)
            return [f"drops the table {table} ({counted:,} rows)"]
        case AddField():
            return [f"drops {operation.name} of {operation.model_name}"]
        case RunSQL():
            return [f"runs: {line}" for line in str(operation.reverse_sql).strip().splitlines()]
    return [f"undoes: {operation.describe()}"]
