"""How far a long command is: a line now and then, with the rate and the time left."""

import time
from collections.abc import Sequence
from typing import Protocol, TextIO

from projections.rebuild import less

SECONDS_BETWEEN_LINES = 1.0


class Reached(Protocol):
    def __call__(self, done: int, total: int) -> None: ...


def progress(out: TextIO, what: str, unit: str) -> Reached:
    """What to call with how much is done, of how much. ``unit`` is a plural (events, rows, bytes)."""
    started = said = time.monotonic()

    def reached(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < SECONDS_BETWEEN_LINES and done < total:
            return
        said = now
        rate = done / max(now - started, 0.001)
        left = f", {(total - done) / rate:,.0f} s left" if 0 < done < total else ""
        out.write(f"{what}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s{left}\n")
        out.flush()

    return reached


def without(leaps: Sequence[tuple[int, int]], reached: Reached) -> Reached:
    """What is told of positions, told of those that can be events' (``leaps``: of ``log.position_gaps``).

    A restore leaves out a thousand million of them, which takes no time and would be shown as a rate.
    """
    return lambda done, total: reached(less(leaps, done), less(leaps, total))
