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
    """An event, decoded, and how it was recorded (position, stream, metadata, time of arrival)."""

    recorded: RecordedEvent
    event: Event


# "schema.table", as the projector names it -> the table to write: a rebuild hands in its fresh ones
Tables: TypeAlias = Mapping[str, sql.Identifier]
Statement: TypeAlias = bytes | sql.SQL | sql.Composed
Apply: TypeAlias = Callable[[Sequence[Fact], Cursor[Any], Tables], None]


@dataclass(frozen=True)
class Projector:
    """A named consumer of the global order; live, late and in a rebuild it is this same ``apply``.

    ``apply`` gets the facts of a batch in order, only those of the types that it ``handles``, inside the
    transaction that saves the position too. It writes to ``tables`` and nowhere else, reads no clock, and
    does not commit. What it raises is looked at event by event, and the event that fails is parked.

    ``queues``: those of the tables that somebody else works off. What is in them depends on when he did.
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
        """Stored names of known events that it does not handle: skipped without being decoded.

        A name that nobody knows is not among them. A newer program wrote it, this one cannot tell whether it
        matters, and so it is parked rather than skipped.
        """
        return frozenset(name for name, (event, _) in codec.EVENTS.items() if event not in self.handles)


def identifier(table: str) -> sql.Identifier:
    """``users.subscriptions`` as SQL writes it."""
    schema, name = table.split(".")
    return sql.Identifier(schema, name)


def answer(
    cursor: Cursor[Any], statement: Statement, parameters: Params | None = None
) -> list[tuple[Any, ...]]:
    """What a statement returns, within the transaction of ``cursor``. On a cursor of its own: in a pipeline,
    one that has sent others before may be handed the result of those."""
    with cursor.connection.cursor() as own:
        return own.execute(statement, parameters).fetchall()


def as_json(rows: Sequence[Any]) -> str:
    """The one parameter of ``jsonb_to_recordset``: three times the rows per second of arrays or VALUES."""
    return msgspec.json.encode(rows).decode()
