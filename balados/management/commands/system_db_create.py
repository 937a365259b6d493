from balados.management.commands import db_create


class Command(db_create.Command):
    help = "Create the database and the schema of the system store only, where they do not exist yet."
    aliases = ("system",)
