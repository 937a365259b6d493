from balados.management.commands import rebuild_projections
from operations.rebuilding import repair_and_rebuild
from projections.projectors import PROJECTORS


class Command(rebuild_projections.Command):
    help = "rebuild_projections for damaged tables too: what is missing or was altered is made anew first."
    details = f"""
Projectors: {", ".join(PROJECTORS)}.

The tables of a projector are compared with what they should be. Where they are whole this is
rebuild_projections: readers see the old rows until they see all of the new. Where one is missing, or has
other columns, keys, checks or triggers, all tables of its projector are dropped and made anew, its position
and dead letters start from nothing, and its readers find less until the rebuild is through.
It asks nothing: events rebuild everything. db_reset --projections is the same for the whole store, also
where the database itself is gone.

Exit codes: 0 done, 1 failed (repeat it), 2 a wrong option.

    manage.py reset_projections subscriptions
"""
    rebuild = staticmethod(repair_and_rebuild)
    done = "Reset"
