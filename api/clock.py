"""The edge where requests read the clock; from here "now" travels as an argument."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
