from balados.management.commands import db_migrate


class Command(db_migrate.Command):
    help = "Make the events store ready: a server that keeps what it acknowledged, and the newest tables."
    stores = ("events",)
    checks_durability = True
