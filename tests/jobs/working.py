"""Histories with an old part, and runs of the worker over them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections

from eventstore import dispatcher, log, streams
from eventstore.dispatcher import dispatch
from eventstore.domain.messages import Command, Origin
from eventstore.domain.user import User
from eventstore.retention import acknowledge
from jobs import retention
from projections.connect import connect
from projections.projectors import PROJECTORS
from tests.projecting import bring_up_to_date
from tests.projections.histories import dump

SILENT = [lambda text: None][0]


def run_projectors() -> int:
    """Stand in for the projectors' process: bring all of them to the head, acknowledge it, and return it."""
    head = bring_up_to_date()
    acknowledge(dict.fromkeys(PROJECTORS, head))
    return head


def projectors_reach(position: int) -> bool:
    """Bring the projectors up to date instead of waiting; return whether they reached ``position``."""
    return run_projectors() >= position


def run_worker(cutoff: datetime | None = None, **options: Any) -> retention.Run:
    """Run the worker once over what was recorded before ``cutoff``, by default over everything up to now."""
    return retention.run(
        cutoff or log.database_time(), **{"wait": projectors_reach, "say": SILENT, **options}
    )


def dispatch_all(*commands: Command) -> None:
    for command in commands:
        dispatch(command, Origin())


def state_of(user_id: UUID) -> User:
    """Return the state that the store keeps of a listener; fails unless it equals what the log folds to."""
    kept = dispatcher.state_of(user_id).read_whole()
    assert kept == streams.fold(log.stream_of(user_id), user_id)
    return kept


def event_types(user_id: UUID) -> list[str]:
    return [row.type for row in log.read_stream(log.stream_of(user_id))]


def read_models() -> dict[str, list[tuple[Any, ...]]]:
    with connect("projections") as connection:
        return dump(connection)


def events() -> int:
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.events")
        return int(cursor.fetchone()[0])
