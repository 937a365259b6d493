from balados.management.commands import db_migrate


class Command(db_migrate.Command):
    help = "Bring the system store (accounts, grants, sessions, categories) to its newest migrations."
    stores = ("system",)
