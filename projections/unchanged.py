"""Reads of a page that return its rows only if they differ from those that the caller has."""

from typing import Any

from projections import replicas
from projections.connect import run

# One snapshot for position, digest and rows. The digest is of all columns of all rows, and of the row after
# the page; 64 bits are enough because a caller compares digests of one page of one listener only.
PAGE_SQL = """
WITH page AS MATERIALIZED ({page}),
     compared AS (SELECT bit_xor(hash_record_extended(page, 0)) AS digest FROM page)
SELECT reached.position, compared.digest, page.*
  FROM "users"."projector_positions" AS reached
 CROSS JOIN compared
  LEFT JOIN page ON compared.digest IS DISTINCT FROM %s
 WHERE reached.projector = %s
 ORDER BY {order}
"""


class Unless:
    """A ``read`` for ``Query.page``: without the rows if their ``digest`` is the ``known`` one."""

    def __init__(self, known: int | None) -> None:
        self.known = known
        self.digest: int | None = None

    def __call__(
        self, projector: str, page: str, order: str, values: list[Any]
    ) -> tuple[int, list[tuple[Any, ...]]]:
        statement = PAGE_SQL.format(page=page, order=order)

        def ask(alias: str) -> tuple[int, list[tuple[Any, ...]]]:
            found = run(statement, [*values, self.known, projector], alias).fetchall()
            if not found:
                return 0, []
            position, self.digest = found[0][:2]
            # the last column is a key, which is null only if there are no rows
            return position, [row[2:] for row in found if row[-1] is not None]

        return replicas.read(projector, ask)
