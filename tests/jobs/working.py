"""Histories with an old part, and the worker over them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections

from eventstore import dispatcher, log, streams
from eventstore.dispatcher import dispatch
from eventstore.domain.messages import Command
from eventstore.domain.user import User
from eventstore.log import Origin
from eventstore.retention import acknowledge
from jobs import retention
from projections.connect import connect
from projections.projectors import PROJECTORS
from tests.projecting import bring_up_to_date
from tests.projections.histories import dump

SILENT = [lambda text: None][0]


def settle() -> int:
    """Stands in for the projectors' process: brings all to the head, and acknowledges. Returns the head."""
    head = bring_up_to_date()
    acknowledge(dict.fromkeys(PROJECTORS, head))
    return head


def settled(position: int) -> bool:
    """Instead of waiting for the projectors' process."""
    return settle() >= position


def work(cutoff: datetime | None = None, **options: Any) -> retention.Run:
    """One run over what was recorded before ``cutoff``: everything up to now, where none is given."""
    return retention.run(cutoff or log.database_time(), **{"wait": settled, "say": SILENT, **options})


def do(*commands: Command) -> None:
    for command in commands:
        dispatch(command, Origin())


def state_of(user_id: UUID) -> User:
    """What the store keeps of a listener, which is what the log says."""
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
