"""Read models made anew, with a progress bar, and what the events store may forget of them afterwards."""

from collections.abc import Sequence
from typing import TextIO

from eventstore import retention
from operations import repair
from operations.errors import OperatorError
from operations.progress import progress
from projections import lag
from projections.connect import connect
from projections.garbage import relaxed_gc
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.rebuild import AlreadyRunning, rebuild
from projections.shadows import TableChanged
from projections.worker import safe_positions


class NotRebuilt(OperatorError):
    """The read models are as they were."""


def find_projectors(names: Sequence[str]) -> list[Projector]:
    """The projectors of these names, all where none is given. Raises ``NotRebuilt`` for an unknown one."""
    if unknown := [name for name in names if name not in PROJECTORS]:
        raise NotRebuilt(f"No such projector: {', '.join(unknown)}. There are {', '.join(PROJECTORS)}.")
    return [PROJECTORS[name] for name in dict.fromkeys(names or PROJECTORS)]


def rebuild_beside(projectors: Sequence[Projector], out: TextIO) -> list[str]:
    """Fill fresh tables from all events and swap them in; readers see the old rows until then.

    Returns what could not be applied, for the operator: its rows are missing. Raises ``NotRebuilt``,
    ``psycopg.errors.LockNotAvailable``, and the errors of a store that is away.
    """
    try:
        with relaxed_gc(), progress(out, "Rebuilding", "events") as reached:
            rebuild(projectors, reached)
    except AlreadyRunning as error:
        raise NotRebuilt(f"{error} is being rebuilt by another process.") from error
    except TableChanged as error:
        raise NotRebuilt(f"{error} was migrated meanwhile: nothing changed, try again.") from error
    names = [projector.name for projector in projectors]
    # on the disk now, a swap waits for it: else retention would wait for the next event
    with connect("projections", application_name="balados-rebuild") as connection:
        retention.acknowledge(safe_positions(connection, names))
    return [
        f"{each.projector}: {each.failed} events could not be applied, {each.behind} wait behind them;"
        " see manage.py dead_letters"
        for each in lag.dead_letter_counts()
        if each.projector in names and each.failed + each.behind
    ]


def repair_and_rebuild(projectors: Sequence[Projector], out: TextIO) -> list[str]:
    """``rebuild_beside``, after tables that are missing or altered were made anew; also returns which.

    Raises as ``rebuild_beside``; ``NotRebuilt`` also where all of the store needs to be made anew.
    """
    if repair.is_unusable():
        raise NotRebuilt(
            "Positions, dead letters or the record of migrations are missing or altered:"
            " run manage.py db_reset --projections, which makes the whole store anew."
        )
    wrong = repair.find_damage(table for projector in projectors for table in projector.tables)
    damaged = [each for each in projectors if not wrong.keys().isdisjoint(each.tables)]
    if damaged:
        repair.repair(damaged, lambda line: out.write(f"{line}\n"))
    left = rebuild_beside(projectors, out)
    return [*(f"{table} was made anew: {words}." for table, words in wrong.items()), *left]
