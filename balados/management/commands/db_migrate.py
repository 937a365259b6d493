from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.migrations import Migration

from operations import migrations
from operations.command import OperatorCommand
from operations.exclusive import raw_connection
from operations.stores import SCHEMAS, refuse_unsafe

# The first migrations of these apps created the store itself: undoing them would be a reset, for which
# db_reset asks more.
NEVER_UNDONE = ("accounts", "eventstore")


class Command(OperatorCommand):
    """Migrates the stores in ``stores``, in this order, each under its lock. ``checks_durability`` says
    whether to refuse a server that would lose acknowledged writes."""

    help = "Apply the newest migrations to the three stores. Safe while the server runs."
    stores: tuple[str, ...] = tuple(SCHEMAS)
    checks_durability = False
    details = """
It can run while the server does. Two can run at once: the second waits and says so. A migration that cannot
lock its tables within MIGRATION_LOCK_TIMEOUT lets other sessions go first, is tried again a few times, and
then fails with nothing of it applied. If the command is killed, run it again.

--check and --plan write nothing. --to migrates to one migration, forwards or backwards. Going backwards drops
what the migrations created: the command shows what that is, and asks you to type a phrase.

Exit codes: 0 done, or nothing pending; 1 refused, failed, or (--check) migrations are pending.

  manage.py db_migrate --check || manage.py db_migrate
  manage.py db_migrate --to projections 0002 --plan
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--check", action="store_true", help="list pending migrations; exit code 1 if any")
        only.add_argument("--plan", action="store_true", help="show what each pending migration would do")
        parser.add_argument(
            "--to", nargs=2, metavar=("APP", "MIGRATION"), default=(), help="zero means before the first"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        to, say = options["to"], self.stdout.write
        self.touched = False
        aliases = [migrations.store_of(to[0])] if to else self.stores
        if not set(aliases) <= set(self.stores):
            raise CommandError(f"{to[0]} is in the {aliases[0]} store: db_migrate goes there.")
        if options["check"]:
            self._check(aliases, to)
            return
        if self.checks_durability and not options["plan"]:
            refuse_unsafe(self.stores)
        for alias in aliases:
            undone = self._show(alias, to) if options["plan"] or to else []
            if not options["plan"]:
                if undone:
                    self._confirm_way_back(alias, to, undone)
                self.touched = True
                migrations.migrate(alias, say, to, verbosity=options["verbosity"])
                if undone:
                    say("Run the version that fits: this one is not ready before db_migrate.")
                if undone and alias == "projections":
                    say("After it run rebuild_projections: tables made anew are empty.")

    def _check(self, aliases: Sequence[str], to: Sequence[str]) -> None:
        plans = {alias: migrations.plan(alias, to) for alias in aliases}
        for alias, plan in plans.items():
            names = [f"\n  {each.app_label} {each.name}" for each, _ in plan]
            self.stdout.write(f"{alias}: {len(plan) or 'nothing'} pending{''.join(names)}")
            self._tell_unknown(alias)
        if any(plans.values()):
            raise CommandError("Migrations are pending: see above.")

    def _show(self, alias: str, to: Sequence[str]) -> list[Migration]:
        """Print what would be done. Returns the migrations that would be undone."""
        raw_connection(alias)  # fails at once, with the reason, if the store is unusable
        self.stdout.write(f"{alias}:")
        # fails on unknown names
        call_command("migrate", *to, database=alias, plan=True, stdout=self.stdout)
        self._tell_unknown(alias)
        undone = [migration for migration, backwards in migrations.plan(alias, to) if backwards]
        for each in undone:
            name = (each.app_label, each.name)
            call_command("sqlmigrate", *name, database=alias, backwards=True, stdout=self.stdout)
        return undone

    def _tell_unknown(self, alias: str) -> None:
        for name in migrations.unknown(alias):
            self.stdout.write(f"  {name} is applied, and unknown to this version: a newer one was here")

    def _confirm_way_back(self, alias: str, to: Sequence[str], undone: list[Migration]) -> None:
        """Ask for the confirmation of undoing migrations. Raises ``CommandError`` if they cannot be undone,
        and ``NotConfirmed``."""
        if any(each.app_label in NEVER_UNDONE and each.name.startswith("0001") for each in undone):
            raise CommandError("Nothing was done: that takes the whole store away. See db_reset.")
        stuck = [str(each) for each in undone if not all(one.reversible for one in each.operations)]
        if stuck:
            raise CommandError(f"Nothing was done: there is no way back from {', '.join(stuck)}.")
        if alias != "projections":
            self.stdout.write(f"No event brings back what goes from the {alias} store: is there a backup?")
        self.confirm(f"BACK TO {' '.join(to)}")
