from balados.management.commands import rebuild_projections
from operations.rebuilding import reset_and_rebuild


class Command(rebuild_projections.Command):
    help = "Drop the tables of projectors, damaged or not, recreate them, and rebuild them from the events."
    details = """
For tables that are missing or were altered by hand. Positions and dead letters are reset, and readers find
less until the rebuild is finished. It does not ask for confirmation, because the events rebuild everything.
db_reset --projections does the same for the whole store, even if the database itself is gone.

Exit codes: 0 done, 1 failed (run it again), 2 invalid option.

    manage.py reset_projections subscriptions
"""
    rebuild = staticmethod(reset_and_rebuild)
    done = "Reset"
