from balados.management.commands import db_migrate


class Command(db_migrate.Command):
    help = (
        "Prepare the events store: check that its server keeps acknowledged writes, and migrate its tables."
    )
    stores = ("events",)
    checks_durability = True
