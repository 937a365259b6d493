"""The progress of a long command: a line now and then, with the rate and the time left."""

import time
from typing import Protocol, TextIO

SECONDS_BETWEEN_LINES = 1.0


class Reached(Protocol):
    def __call__(self, done: int, total: int) -> None: ...


def progress(out: TextIO, what: str, unit: str) -> Reached:
    """Return a function to call with the number done and the total. ``unit`` is a plural (events, rows,
    bytes)."""
    started = reported_at = time.monotonic()

    def reached(done: int, total: int) -> None:
        nonlocal reported_at
        now = time.monotonic()
        if now - reported_at < SECONDS_BETWEEN_LINES and done < total:
            return
        reported_at = now
        rate = done / max(now - started, 0.001)
        left = f", {(total - done) / rate:,.0f} s left" if 0 < done < total else ""
        out.write(f"{what}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s{left}\n")
        out.flush()

    return reached
