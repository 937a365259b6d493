from operations.migrating import MigrateCommand


class Command(MigrateCommand):
    help = "Bring the projections store (the read models) to its newest migrations."
    stores = ("projections",)
