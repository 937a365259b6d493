from balados.management.commands import db_migrate


class Command(db_migrate.Command):
    help = "Bring the projections store (read models) to its newest migrations."
    stores = ("projections",)
