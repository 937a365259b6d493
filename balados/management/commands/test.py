from django.core.management.commands import test

from operations.blocked import Blocked


class Command(Blocked, test.Command):
    """Django's runner would import the tests as they are, without the servers that they need."""

    help = "Blocked: use make test."
    instead = "make test, which starts servers of its own."
