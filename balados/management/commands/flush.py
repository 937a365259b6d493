from django.core.management.commands import flush

from operations.blocked import Blocked


class Command(Blocked, flush.Command):
    instead = "manage.py db_reset, which first shows what is deleted and what is kept."
