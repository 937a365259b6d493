from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from operations import generator
from operations.command import OperatorCommand
from operations.stores import SCHEMAS


class Command(OperatorCommand):
    help = "Write a new migration for a store, with both directions. For those who change the program."
    details = """
From the models of the store's apps where they have changed; else an empty one with SQL to fill in, which
fails until it is. Of the events store always the latter. It writes into the source tree, asks no database,
and overwrites nothing.

Exit codes: 0 written, or shown (--dry-run); 1 refused, with the reason.

  manage.py make_migration --store events --name faster_heads
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", required=True, choices=list(SCHEMAS))
        parser.add_argument("--name", required=True, help="small letters, digits and _")
        parser.add_argument("--app", help="of the store's apps this one alone")
        parser.add_argument("--dry-run", action="store_true", help="show it, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            files = generator.generate(options["store"], options["name"], options["app"])
        except generator.CannotGenerate as refused:
            raise CommandError(str(refused)) from refused
        if options["dry_run"]:
            for path, text in files.items():
                self.stdout.write(f"would write {path}:\n\n{text}")
            return
        generator.write(files)
        for path, text in files.items():
            self.stdout.write(f"written: {path}")
            if "is not filled in" in text:
                self.stdout.write("  Fill in FORWARD and BACK: it fails until you do.")
        self.stdout.write(
            "Then: manage.py db_migrate --plan; tests/operations/test_migrations.py goes there and back."
        )
