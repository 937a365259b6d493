from operations.migrating import MigrateCommand


class Command(MigrateCommand):
    help = "Bring the system store (accounts, grants, sessions, categories) to its newest migrations."
    stores = ("system",)
