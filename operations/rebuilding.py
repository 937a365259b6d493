"""Read models made anew, with a progress bar, and what the events store may forget of them afterwards."""

from collections.abc import Sequence
from typing import TextIO

from eventstore import retention
from operations import mending
from operations.progress import progress
from projections import lag
from projections.connect import connect
from projections.garbage import patient_collector
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.rebuild import AlreadyRunning, rebuild
from projections.shadows import TableChanged
from projections.worker import safe_positions


class NotRebuilt(Exception):
    """The read models are as they were; the text says why."""


def chosen(names: Sequence[str]) -> list[Projector]:
    """The projectors of these names, all where none is given. Raises ``NotRebuilt`` for an unknown one."""
    if unknown := [name for name in names if name not in PROJECTORS]:
        raise NotRebuilt(f"No such projector: {', '.join(unknown)}. There are {', '.join(PROJECTORS)}.")
    return [PROJECTORS[name] for name in dict.fromkeys(names or PROJECTORS)]


def rebuild_beside(projectors: Sequence[Projector], out: TextIO) -> None:
    """Fill fresh tables from all events and swap them in; readers see the old rows until then.

    Raises ``NotRebuilt``, ``psycopg.errors.LockNotAvailable``, and the errors of a store that is away.
    """
    try:
        with patient_collector(), progress(out, "Rebuilding", "events") as reached:
            rebuild(projectors, reached)
    except AlreadyRunning as error:
        raise NotRebuilt(f"{error} is being rebuilt by another process.") from error
    except TableChanged as error:
        raise NotRebuilt(f"{error} was migrated meanwhile: nothing changed, try again.") from error
    _acknowledge(projectors)


def reset(projectors: Sequence[Projector], out: TextIO) -> dict[str, str]:
    """``rebuild_beside``, after tables that are missing or altered were made anew.

    Returns what was wrong with which table. Raises as ``rebuild_beside``; ``NotRebuilt`` also where all of
    the store needs to be made anew.
    """
    with connect(mending.ALIAS, application_name="balados-reset") as connection:
        if mending.unusable(connection):
            raise NotRebuilt(
                "Positions, dead letters or the record of migrations are missing or altered:"
                " run manage.py db_reset --projections, which makes the whole store anew."
            )
        wrong = mending.broken(connection, projectors)
    if wrong:
        damaged = [each for each in projectors if not wrong.keys().isdisjoint(each.tables)]
        mending.mend(damaged, lambda line: out.write(f"{line}\n"))
    rebuild_beside(projectors, out)
    return wrong


def letters_left(projectors: Sequence[Projector]) -> list[str]:
    """What could not be applied, for the operator: these rows are missing until it can be."""
    names = {projector.name for projector in projectors}
    return [
        f"{each.projector}: {each.failed} events could not be applied, {each.behind} wait behind them;"
        " see manage.py dead_letters"
        for each in lag.waiting()
        if each.projector in names and each.failed + each.behind
    ]


def _acknowledge(projectors: Sequence[Projector]) -> None:
    """What is on the disk now, a swap waits for it: else retention would wait for the next event."""
    with connect(mending.ALIAS, application_name="balados-rebuild") as connection:
        retention.acknowledge(safe_positions(connection, [projector.name for projector in projectors]))
