"""Rows that are read before they are written: a list's name and order.

An event may carry only a part of them, so SQL cannot merge it without the rest. They change rarely, and cost
one round trip for a batch in which one does.
"""

from collections.abc import Collection, Iterator
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from projections.projectors.rows import Rows, listed
from projections.projectors.shape import Tables

# whose, and the id of the list
Named: TypeAlias = tuple[UUID, UUID]

KNOWN = sql.SQL("""
SELECT {columns} FROM {table} JOIN jsonb_to_recordset(%s::jsonb) AS asked (user_id uuid, {id} uuid)
 USING (user_id, {id})
""")


class Registers(Rows):
    """The table of one kind of list. ``columns``, with their types, begin with user_id and the list's id."""

    def __init__(self, table: str, columns: dict[str, str]) -> None:
        _, self.id, *others = columns
        # a row that comes was made of the one that is there, and stands in its place
        merge = ", ".join(f"{name} = EXCLUDED.{name}" for name in others)
        super().__init__(table, columns, keys=2, merge=merge)

    def known(
        self, cursor: Cursor[Any], tables: Tables, named: Collection[Named]
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of these lists, as far as there are any."""
        if not named:
            return
        asked = [{"user_id": user_id, self.id: list_id} for user_id, list_id in named]
        statement = KNOWN.format(
            columns=listed(self.columns), table=tables[self.table], id=sql.Identifier(self.id)
        )
        yield from cursor.execute(statement, [msgspec.json.encode(asked).decode()]).fetchall()
