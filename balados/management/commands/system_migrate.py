from balados.management.commands import db_migrate


class Command(db_migrate.Command):
    help = "Apply the newest migrations to the system store (accounts, grants, sessions, categories)."
    stores = ("system",)
