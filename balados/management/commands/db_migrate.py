from operations.migrating import MigrateCommand
from operations.stores import SCHEMAS


class Command(MigrateCommand):
    help = "Bring the three stores to their newest migrations, while the server runs."
    stores = tuple(SCHEMAS)
