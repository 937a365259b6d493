from balados.management.commands import rebuild_projections
from operations.rebuilding import reset_and_rebuild


class Command(rebuild_projections.Command):
    help = "Drop the tables of projectors, damaged or not, make them anew, and rebuild them from the events."
    details = """
For tables that are missing or were altered by hand. Positions and dead letters start from nothing, and
readers find less until the rebuild is through. It asks nothing: events rebuild everything.
db_reset --projections does it for the whole store, also where the database itself is gone.

Exit codes: 0 done, 1 failed (repeat it), 2 a wrong option.

    manage.py reset_projections subscriptions
"""
    rebuild = staticmethod(reset_and_rebuild)
    done = "Reset"
