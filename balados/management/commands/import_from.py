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
        "Import a listener's data from another sync server: gpodder.net, oPodSync, another Balados, or a"
        " Nextcloud with GPodder Sync."
    )
    details = f"""
  manage.py import_from gpodder.net --user alice --for alice
  {VARIABLE}=… manage.py import_from https://cloud.example.org --user alice --for alice
  manage.py import_from example.org/sync --user alice --for alice < file-with-the-password

--user is the account on the other server, --for the account here. The password for the other server is asked
for, or read from the environment variable {VARIABLE} or from standard input, and is not stored. It is not an
argument, because other programs of the machine could read it. Podcasts, listening history, devices, settings
and saved episodes are imported; nothing changes on the other server. What already exists here is kept, so the
command can be repeated at any time.

Requests to the other server are restricted as those to feeds are: FEED_ALLOW_NETWORKS allows private
addresses, and FEED_PORTS unusual ports (docs/settings.md).

Exit codes: 0 everything is here; 1 it is not, with the reason; 2 invalid option.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", metavar="ADDRESS", help="address of the other server")
        parser.add_argument("--user", metavar="NAME", required=True, help="the account on the other server")
        parser.add_argument(
            "--for", metavar="USERNAME", required=True, dest="username", help="the account here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        password = _password()
        if not password:
            raise CommandError("Without a password nothing can be asked.")
        report = bring(options["address"], options["user"], password, options["username"], self._say)
        for line in report_lines(report):
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
