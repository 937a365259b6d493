from django.core.management.commands import flush

from operations.blocked import Blocked


class Command(Blocked, flush.Command):
    instead = "db_reset, which says first what goes and what stays."
