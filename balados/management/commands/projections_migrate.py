from balados.management.commands import db_migrate


class Command(db_migrate.Command):
    help = "Apply the newest migrations to the projections store (read models)."
    stores = ("projections",)
