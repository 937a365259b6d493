"""The rows of a read table, as its projector passes them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from projections.projectors.shape import Tables, answer, as_json

# renders as "{table}", which is filled in when a batch names the table
TABLE = sql.SQL("{{table}}").format()
INCOMING = sql.SQL("jsonb_to_recordset(%(rows)s::jsonb) AS incoming ({definitions})")
# The incoming rows beside the existing ones of the replaced users. A full join is done by hash or merge,
# whatever the statistics say of a table that was just filled: 50,000 rows against 50,000 must not become a
# nested loop.
BESIDE = sql.SQL("""{incoming} FULL JOIN
       (SELECT ctid AS place, * FROM {table} WHERE user_id = ANY(%(replaced)s::uuid[])) AS there ON {same}""")
MERGE = sql.SQL("""
INSERT INTO {table} AS kept ({columns}) SELECT incoming.* FROM {source}
ON CONFLICT ({keys}) DO UPDATE SET {merge} RETURNING kept.user_id
""")
NEWS = sql.SQL("{beside} WHERE incoming.user_id IS NOT NULL AND (there.place IS NULL OR {differs})")
CLEAR = sql.SQL("""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT there.place FROM {beside}
     WHERE there.place IS NOT NULL AND (incoming.user_id IS NULL OR {differs})))
RETURNING user_id
""")


MOVE = sql.SQL("""
WITH moved AS (DELETE FROM {table} WHERE {of} RETURNING *)
INSERT INTO {table} AS kept ({columns}) SELECT {selected} FROM moved
ON CONFLICT ({keys}) DO UPDATE SET {merge}
""")


class Rows:
    """One read table: ``columns`` with their types.

    The first ``keys`` columns are its primary key, and the very first is user_id. ``merge`` says how an
    incoming row (EXCLUDED) changes the existing one (kept).
    """

    def __init__(self, table: str, columns: Mapping[str, str], *, keys: int, merge: str) -> None:
        self.table = table
        self.columns = columns
        self.keys, self.merge = keys, merge
        names = list(columns)
        source, beside = _incoming(columns), _beside(columns, names[:keys])
        differs = _differs(names[keys:])
        put = {"columns": listed(names), "keys": listed(names[:keys]), "merge": sql.SQL(merge)}
        news = NEWS.format(beside=beside, differs=differs)
        # composed once: each batch of the live loop runs some, and 50 microseconds each would matter there
        self._merge = _of_a_table(MERGE.format(table=TABLE, source=source, **put))
        self._merge_news = _of_a_table(MERGE.format(table=TABLE, source=news, **put))
        self._clear = _of_a_table(CLEAR.format(table=TABLE, beside=beside, differs=differs))

    def put(
        self,
        cursor: Cursor[Any],
        tables: Tables,
        rows: Sequence[msgspec.Struct],
        replaced: Collection[UUID] = (),
    ) -> set[UUID]:
        """Merge ``rows``; the users in ``replaced``, who had a checkpoint, keep no other rows.

        Returns those of ``replaced`` for whom that changed anything. Existing rows that are equal are left
        alone: nearly all of a checkpoint, which is taken for 500 rows or for 50,000, is already in the table,
        and writing it again was most of what the worker cost others.
        """
        table = tables[self.table]
        parameters = {"rows": as_json(rows), "replaced": list(replaced)}
        if not replaced:
            if rows:
                cursor.execute(self._merge.format(table=table), parameters)
            return set()
        changed = {user_id for (user_id,) in answer(cursor, self._clear.format(table=table), parameters)}
        if rows:
            changed |= {row[0] for row in answer(cursor, self._merge_news.format(table=table), parameters)}
        return changed.intersection(replaced)

    def move(self, cursor: Cursor[Any], tables: Tables, of: Mapping[str, Any], to: Mapping[str, Any]) -> None:
        """Give the columns ``to`` to the rows whose columns are ``of``, and merge them into rows already
        there."""
        names = list(self.columns)
        columns = [sql.Placeholder(f"to_{name}") if name in to else sql.Identifier(name) for name in names]
        statement = MOVE.format(
            table=tables[self.table],
            columns=listed(names),
            selected=sql.SQL(", ").join(columns),
            keys=listed(names[: self.keys]),
            of=sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in of
            ),
            merge=sql.SQL(self.merge),
        )
        cursor.execute(statement, {**of, **{f"to_{name}": value for name, value in to.items()}})


def _of_a_table(statement: sql.Composed) -> sql.SQL:
    """Leave only the table to be filled in: a rebuild has another one."""
    return sql.SQL(statement.as_string(None))


def _incoming(columns: Mapping[str, str]) -> sql.Composed:
    definitions = (
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns.items()
    )
    return INCOMING.format(definitions=sql.SQL(", ").join(definitions))


def _beside(columns: Mapping[str, str], keys: Collection[str]) -> sql.Composed:
    same = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier("incoming", key), sql.Identifier("there", key))
        for key in keys
    )
    return BESIDE.format(incoming=_incoming(columns), table=TABLE, same=same)


def _differs(columns: Collection[str]) -> sql.Composed:
    incoming, there = (listed(columns, of) for of in ("incoming", "there"))
    return sql.SQL("({}) IS DISTINCT FROM ({})").format(incoming, there)


def listed(columns: Collection[str], of: str = "") -> sql.Composed:
    """Return column names as SQL lists them, qualified with the table ``of`` if it is given."""
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (of, name))) for name in columns)
