"""What is too old to be shown to the public, or to be kept for it."""

from datetime import datetime

from projections.queries import run

OLDER = """
SELECT EXISTS (SELECT FROM "users"."activity" WHERE happened_at < %(before)s)
    OR EXISTS (SELECT FROM "users"."activity" WHERE withdrawn_at < %(before)s)
"""


def has_older(before: datetime) -> bool:
    """Whether there is anything of the public, or behind it, that happened before that time."""
    row = run(OLDER, {"before": before}).fetchone()
    return bool(row and row[0])
