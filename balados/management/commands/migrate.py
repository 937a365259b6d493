from django.core.management.commands import migrate

from operations.blocked import Blocked


class Command(Blocked, migrate.Command):
    instead = "manage.py db_migrate, or db_migrate --to APP MIGRATION for a single one."
