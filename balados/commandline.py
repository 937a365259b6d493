"""Django's command line for three stores. No store is the default, so commands must be told which one to
use."""

from typing import Any

from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS

from operations.stores import SCHEMAS

OF_ACCOUNTS = ("createsuperuser", "changepassword")
# the command that has been loaded and may have changed something by now
begun: list[str] = []


class Utility(ManagementUtility):
    """Makes ``--database`` required for every command, Django's and third-party ones included, except those
    about accounts."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        command = super().fetch_command(subcommand)
        create_parser = command.create_parser

        def create(*args: Any, **options: Any) -> CommandParser:
            begun.append(subcommand)
            parser = create_parser(*args, **options)
            for action in parser._actions:
                if action.dest == "database" and action.default == DEFAULT_DB_ALIAS:
                    action.choices = ("system",) if subcommand in OF_ACCOUNTS else tuple(SCHEMAS)
                    action.default = "system" if subcommand in OF_ACCOUNTS else None
                    action.required = action.default is None
                    action.help = "The store to use."  # Django's text names its default
            return parser

        command.create_parser = create  # type: ignore[method-assign]
        return command
