"""Reads of a page that return its rows only if they differ from those that the caller has."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from itertools import count
from typing import Any, NamedTuple

from eventstore.database import discard_when_broken, raw_connection
from eventstore.prepared import Prepared
from projections import replicas
from projections.connect import run
from projections.queries import Read

# One snapshot for position, digest and rows. The digest is of all columns of all rows, and of the row after
# the page; 64 bits are enough because a caller compares digests of one page of one listener only.
DIGEST_SQL = """
SELECT reached.position, (SELECT bit_xor(hash_record_extended(page, 0)) FROM ({page}) AS page)
  FROM "users"."projector_positions" AS reached WHERE reached.projector = %s
"""
PAGE_SQL = """
WITH page AS MATERIALIZED ({page})
SELECT reached.position, (SELECT bit_xor(hash_record_extended(page, 0)) FROM page), page.*
  FROM "users"."projector_positions" AS reached LEFT JOIN page ON true
 WHERE reached.projector = %s
 ORDER BY {order}
"""
Found = tuple[int, list[tuple[Any, ...]]]


class Unless:
    """A ``read`` for ``Query.page``: without the rows if their ``digest`` is the ``known`` one."""

    def __init__(self, known: int | None) -> None:
        self.known = known
        self.digest: int | None = None

    def __call__(self, projector: str, page: str, order: str, values: list[Any]) -> Found:
        values = [*values, projector]

        def ask(alias: str) -> Found:
            if self.known is not None:
                position, self.digest = _digest(page, values, alias)
                if self.digest == self.known:
                    return position, []
            return self._rows(PAGE_SQL.format(page=page, order=order), values, alias)

        return replicas.read(projector, ask)

    def _rows(self, statement: str, values: list[Any], alias: str) -> Found:
        found = run(statement, values, alias).fetchall()
        if not found:
            return 0, []
        position, self.digest = found[0][:2]
        # the last column is a key, which is null only if there are no rows
        return position, [row[2:] for row in found if row[-1] is not None]


class Question(NamedTuple):
    """The statement that asks for the position and the digest of a page's rows, and its parameters."""

    statement: Prepared
    values: dict[str, bytes]


def question(read_page: Callable[[Read], object]) -> Question:
    """Return the question about the page that ``read_page`` reads with the function that it is given."""
    asked: list[Question] = []

    def note(projector: str, page: str, order: str, values: list[Any]) -> Found:
        asked.append(_question(page, [*values, projector]))
        return 0, []

    read_page(note)
    return asked[0]


def digest_in(rows: Sequence[Sequence[bytes | None]]) -> tuple[int, int | None]:
    """Return the position and the digest from the rows that answer a question."""
    if not rows:
        return 0, None
    position, digest = rows[0]
    return int(position or 0), None if digest is None else int(digest)


def _digest(page: str, values: list[Any], alias: str) -> tuple[int, int | None]:
    """Return the position and the digest of a page's rows; through libpq, as this is all that most reads
    do."""
    statement, texts = _question(page, values)
    with discard_when_broken(alias):
        return digest_in(statement.rows(raw_connection(alias), texts))


def _question(page: str, values: list[Any]) -> Question:
    texts = {f"value_{number}": str(value).encode() for number, value in enumerate(values)}
    return Question(_prepared(page), texts)


@cache
def _prepared(page: str) -> Prepared:
    numbers = count()
    statement = re.sub("%s", lambda _: f"%(value_{next(numbers)})s", DIGEST_SQL.format(page=page))
    return Prepared(f"digest_{blake2b(page.encode(), digest_size=8).hexdigest()}", statement)
