from django.core.management.commands import sqlflush

from operations.blocked import Blocked


class Command(Blocked, sqlflush.Command):
    instead = "manage.py db_reset, which first shows what is deleted and what is kept."
