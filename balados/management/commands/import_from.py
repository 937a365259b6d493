import getpass
import os
import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from operations.command import OperatorCommand
from operations.imports import bring, report_lines

VARIABLE: Final = "IMPORT_PASSWORD"


class Command(OperatorCommand):
    help = (
        "Bring along what a listener has on another sync server: gpodder.net, oPodSync, another Balados, or a"
        " Nextcloud with GPodder Sync."
    )
    details = f"""
  manage.py import_from gpodder.net --user alice --for alice
  {VARIABLE}=… manage.py import_from https://cloud.example.org --user alice --for alice
  manage.py import_from example.org/sync --user alice --for alice < file-with-the-password

--user is the name there, --for the account here. The password for the other server is asked for, or comes
from the environment variable {VARIABLE} or from standard input, and is kept nowhere: other programs of the
machine could read an argument. Podcasts, listening history, devices, settings and saved episodes come over;
nothing changes there. What is here already stays, so it may be run again at any time.

The server is asked as feeds are: private addresses and unusual ports are opened by FEED_ALLOW_NETWORKS and
FEED_PORTS (docs/settings.md).

Exit codes: 0 everything is here; 1 it is not, with the reason; 2 a wrong option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", metavar="ADDRESS", help="of the other server")
        parser.add_argument("--user", metavar="NAME", required=True, help="the account there")
        parser.add_argument(
            "--for", metavar="USERNAME", required=True, dest="username", help="the account here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        password = _password()
        if not password:
            raise CommandError("Without a password nothing can be asked.")
        told = bring(options["address"], options["user"], password, options["username"], self._say)
        for line in report_lines(told):
            self._say(line)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _password() -> str:
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if sys.stdin.isatty():
        return getpass.getpass("Password there: ")
    return sys.stdin.readline().rstrip("\r\n")
