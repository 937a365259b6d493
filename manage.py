#!/usr/bin/env python
"""Django's command line."""

import os
import signal
import sys

from django.core.exceptions import ImproperlyConfigured


def main() -> None:
    """Run a command. Ends the process where it cannot run, or was interrupted before it was loaded."""
    from balados import environment

    if not environment.DATABASE_URL and not {"help", "--help", "--version"} & set(sys.argv):
        sys.exit(f"balados: {environment.NO_STORE}")
    try:
        from balados.commandline import Utility

        Utility(sys.argv).execute()
    except ImproperlyConfigured as error:
        # a setting that cannot be: the operator's, and said in a line
        of_no_store = "supply the ENGINE value" in str(error)
        sys.exit(f"balados: {environment.NO_DEFAULT if of_no_store else error}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # whoever read what it says has gone, as `| head` does: nothing more is said, not at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        # of our own commands each says what is touched by then (operations/command.py)
        begun = getattr(sys.modules.get("balados.commandline"), "begun", [])
        print("Interrupted." if begun else "Nothing was touched.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
