"""What a projector is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import msgspec
from psycopg import Cursor, sql
from psycopg.abc import Params

from eventstore import codec
from eventstore.domain.messages import Event
from eventstore.log import RecordedEvent


class Fact(NamedTuple):
    """A decoded event, and how it was recorded (position, stream, metadata, time of arrival)."""

    recorded: RecordedEvent
    event: Event


# "schema.table", as the projector names it -> the table to write: a rebuild passes its fresh ones
Tables: TypeAlias = Mapping[str, sql.Identifier]
Statement: TypeAlias = bytes | sql.SQL | sql.Composed
Apply: TypeAlias = Callable[[Sequence[Fact], Cursor[Any], Tables], None]


@dataclass(frozen=True)
class Projector:
    """A named consumer of the global order; live, catching up or in a rebuild, it is the same ``apply``.

    ``apply`` gets the facts of a batch in order, only those of the types that it ``handles``, inside the
    transaction that also saves the position. It writes only to ``tables``, reads no clock and does not
    commit. If it raises, the batch is retried event by event, and the failing event is parked. ``queues``:
    those of the tables that somebody else empties, so that their content depends on when that was done.
    """

    name: str
    handles: frozenset[type[Event]]
    tables: tuple[str, ...]
    apply: Apply
    queues: frozenset[str] = frozenset()

    @cached_property
    def live_tables(self) -> Tables:
        return {table: identifier(table) for table in self.tables}

    @cached_property
    def ignores(self) -> frozenset[str]:
        """The stored names of known events that it does not handle: skipped without being decoded.

        Unknown names are not among them: they come from a newer program, and because this one cannot tell
        whether such an event matters, it is parked, not skipped.
        """
        return frozenset(name for name, (event, _) in codec.EVENTS.items() if event not in self.handles)


def identifier(table: str) -> sql.Identifier:
    """Return ``users.subscriptions``, say, as SQL writes it."""
    schema, name = table.split(".")
    return sql.Identifier(schema, name)


def answer(
    cursor: Cursor[Any], statement: Statement, parameters: Params | None = None
) -> list[tuple[Any, ...]]:
    """Return what a statement finds, within the transaction of ``cursor``.

    It runs on a cursor of its own: in a pipeline, one that has sent other statements may get their results.
    """
    with cursor.connection.cursor() as own:
        return own.execute(statement, parameters).fetchall()


def as_json(rows: Sequence[Any]) -> str:
    """Encode the one parameter of ``jsonb_to_recordset``: three times the rows per second of arrays or
    VALUES."""
    return msgspec.json.encode(rows).decode()
