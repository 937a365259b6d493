"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

from projections.rebuild import less

SECONDS_BETWEEN_LINES = 1.0


class Reached(Protocol):
    def __call__(self, done: int, total: int) -> None: ...


@contextmanager
def progress(out: TextIO, what: str, unit: str) -> Iterator[Reached]:
    """Yields what to call with how much is done, of how much: shown with the rate and the time left.

    ``unit`` is a plural (events, rows, bytes).
    """
    # a command's stdout wraps the stream and ends every write with a line end
    stream: Any = getattr(out, "_out", out)
    if not stream.isatty():
        yield _lines(stream, what, unit)
        return
    console = Console(file=stream)
    with Progress(
        TextColumn(what), BarColumn(), TaskProgressColumn(), _Rate(unit), TimeLeft(), console=console
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def without(leaps: Sequence[tuple[int, int]], reached: Reached) -> Reached:
    """What is told of positions, told of those that can be events' (``leaps``: of ``log.position_gaps``).

    A restore leaves out a thousand million of them, which takes no time and would be shown as a rate.
    """
    return lambda done, total: reached(less(leaps, done), less(leaps, total))


def _lines(stream: TextIO, what: str, unit: str) -> Reached:
    started = said = time.monotonic()

    def reached(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < SECONDS_BETWEEN_LINES and done < total:
            return
        said = now
        rate = done / max(now - started, 0.001)
        left = f", {(total - done) / rate:,.0f} s left" if 0 < done < total else ""
        stream.write(f"{what}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s{left}\n")
        stream.flush()

    return reached


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f} {self._unit}/s")
