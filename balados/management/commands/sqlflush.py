from django.core.management.commands import sqlflush

from operations.blocked import Blocked


class Command(Blocked, sqlflush.Command):
    instead = "db_reset, which says first what goes and what stays."
