"""The rows of a read table, as its projector hands them in."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from projections.projectors.shape import Tables, as_json

CAME = sql.SQL("jsonb_to_recordset(%(rows)s::jsonb) AS came ({definitions})")
# What comes and what those users have, side by side. A full join is made by hash or by merge, whatever the
# statistics say of a table that was just filled: 50,000 rows against 50,000 must not become a nested loop.
BESIDE = sql.SQL("""{came} FULL JOIN
       (SELECT ctid AS place, * FROM {table} WHERE user_id = ANY(%(replaced)s::uuid[])) AS there ON {same}""")
MERGE = sql.SQL("""
INSERT INTO {table} AS kept ({columns}) SELECT came.* FROM {source}
ON CONFLICT ({keys}) DO UPDATE SET {merge}
""")
NEWS = sql.SQL("{beside} WHERE came.user_id IS NOT NULL AND (there.place IS NULL OR {differs})")
CLEAR = sql.SQL("""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT there.place FROM {beside} WHERE there.place IS NOT NULL AND (came.user_id IS NULL OR {differs})))
""")


CHANGED = sql.SQL("""
SELECT DISTINCT coalesce(came.user_id, there.user_id) FROM {beside}
 WHERE (came.user_id IS NULL OR came.user_id = ANY(%(replaced)s::uuid[])) AND {differs}
""")


class Rows:
    """One read table: ``columns`` with their types, of which the first ``keys`` are its primary key, and the
    first of all is user_id. ``merge`` is how a row that comes (EXCLUDED) changes the one there is (kept).
    """

    def __init__(self, table: str, columns: Mapping[str, str], *, keys: int, merge: str) -> None:
        self.table = table
        self.columns = columns
        self._keys, self._others = list(columns)[:keys], list(columns)[keys:]
        self._merge = sql.SQL(merge)

    def put(
        self,
        cursor: Cursor[Any],
        tables: Tables,
        rows: Sequence[msgspec.Struct],
        replaced: Collection[UUID] = (),
    ) -> None:
        """Merge ``rows``; the users in ``replaced``, whose checkpoint came, have these and no others then.

        What such a user has already is left alone: nearly all of a checkpoint, taken for 500 rows or for
        50,000, is what the table holds, and writing it again was most of what the worker cost others.
        """
        parameters = {"rows": as_json(rows), "replaced": list(replaced)}
        if replaced:
            cursor.execute(self._clear(tables[self.table]), parameters)
        if rows:
            cursor.execute(self._put(tables[self.table], beside=bool(replaced)), parameters)

    def changed(
        self, cursor: Cursor[Any], tables: Tables, rows: Sequence[msgspec.Struct], replaced: Collection[UUID]
    ) -> list[UUID]:
        """Those of ``replaced`` for whom ``put`` would change something; asks only where there are any."""
        if not replaced:
            return []
        beside = self._beside(tables[self.table])
        # a row that is on one side alone differs, too: no key is null
        found = cursor.execute(
            CHANGED.format(beside=beside, differs=self._differs(self.columns)),
            {"rows": as_json(rows), "replaced": list(replaced)},
        )
        return [user_id for (user_id,) in found]

    def _put(self, table: sql.Identifier, *, beside: bool) -> sql.Composed:
        source = NEWS.format(beside=self._beside(table), differs=self._differs()) if beside else self._came()
        names = {"columns": listed(self.columns), "keys": listed(self._keys), "merge": self._merge}
        return MERGE.format(table=table, source=source, **names)

    def _clear(self, table: sql.Identifier) -> sql.Composed:
        return CLEAR.format(table=table, beside=self._beside(table), differs=self._differs())

    def _beside(self, table: sql.Identifier) -> sql.Composed:
        same = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("came", key), sql.Identifier("there", key))
            for key in self._keys
        )
        return BESIDE.format(came=self._came(), table=table, same=same)

    def _came(self) -> sql.Composed:
        definitions = (
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in self.columns.items()
        )
        return CAME.format(definitions=sql.SQL(", ").join(definitions))

    def _differs(self, columns: Collection[str] = ()) -> sql.Composed:
        came, there = (listed(columns or self._others, of) for of in ("came", "there"))
        return sql.SQL("({}) IS DISTINCT FROM ({})").format(came, there)


def listed(columns: Collection[str], of: str = "") -> sql.Composed:
    """Names of columns as SQL lists them, those of the table ``of`` where it is given."""
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (of, name))) for name in columns)
