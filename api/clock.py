"""The one place where requests read the clock; from here on, "now" is passed as an argument."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
