"""What is too old to be shown to the public, or to be kept for it."""

from datetime import datetime
from typing import cast

from projections.connect import run

OLDER = """
SELECT EXISTS (SELECT FROM "users"."activity" WHERE happened_at < %(before)s)
    OR EXISTS (SELECT FROM "users"."activity" WHERE withdrawn_at < %(before)s)
"""
# What is to be taken away at once: the index by time leads to the end of it.
CUT = """
SELECT happened_at, (SELECT min(happened_at) FROM "users"."activity") FROM "users"."activity"
 WHERE happened_at < %(before)s ORDER BY happened_at OFFSET %(rows)s LIMIT 1
"""


def has_older(before: datetime) -> bool:
    """Whether there is anything of the public, or behind it, that happened before that time."""
    row = run(OLDER, {"before": before}).fetchone()
    return bool(row and row[0])


def cut(before: datetime, rows: int) -> datetime:
    """A time up to ``before``, so that no more than ``rows`` are older, or those of one moment where it has
    more than that."""
    row = run(CUT, {"before": before, "rows": rows}).fetchone()
    if row is None or row[0] == row[1]:
        return before
    return cast(datetime, row[0])
