"""Rows that are read before they are written: a list's name and order.

An event may carry only a part of them, so SQL cannot merge it without the rest. They change rarely, and cost
one round trip for a batch in which one does.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from projections.projectors.shape import as_json

# whose, and the id of the list
Named: TypeAlias = tuple[UUID, UUID]

KNOWN = sql.SQL("""
SELECT {columns} FROM {table} JOIN jsonb_to_recordset(%s::jsonb) AS asked (user_id uuid, {id} uuid)
 USING (user_id, {id})
""")
WRITE = sql.SQL("""
INSERT INTO {table} ({columns}) SELECT * FROM jsonb_to_recordset(%s::jsonb) AS came ({definitions})
ON CONFLICT (user_id, {id}) DO UPDATE SET ({changed}) = ROW ({news})
""")


class Registers:
    """The table of one kind of list. ``columns``, with their types, begin with user_id and the list's id."""

    def __init__(self, table: str, columns: dict[str, str]) -> None:
        self.table = table
        self.columns = columns
        _, self.id, *self.others = columns

    def known(
        self, cursor: Cursor[Any], table: sql.Identifier, named: Collection[Named]
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of these lists, as far as there are any."""
        if not named:
            return
        asked = [{"user_id": user_id, self.id: list_id} for user_id, list_id in named]
        statement = KNOWN.format(columns=_names(self.columns), table=table, id=sql.Identifier(self.id))
        yield from cursor.execute(statement, [msgspec.json.encode(asked).decode()]).fetchall()

    def write(self, cursor: Cursor[Any], table: sql.Identifier, rows: Sequence[msgspec.Struct]) -> None:
        """Put these rows in the place of those that there are."""
        if not rows:
            return
        definitions = (
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in self.columns.items()
        )
        statement = WRITE.format(
            table=table,
            columns=_names(self.columns),
            definitions=sql.SQL(", ").join(definitions),
            id=sql.Identifier(self.id),
            changed=_names(self.others),
            news=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in self.others),
        )
        cursor.execute(statement, [as_json(rows)])


def _names(columns: Collection[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
