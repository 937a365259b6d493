"""Verification of the stores: whether the log is in order, and the read models are what the events make of
them."""

from collections.abc import Iterator
from typing import TextIO

import msgspec

from eventstore import log, retention
from eventstore import verification as log_verification
from eventstore.verification import LogFault
from operations import rebuilding
from operations.errors import OperatorError
from operations.progress import progress
from projections import lag
from projections.comparison import Difference, NotCompared, compare, fill
from projections.connect import connect
from projections.garbage import relaxed_gc
from projections.lag import DeadLetterCount
from projections.projectors import PROJECTORS
from projections.rebuild import AlreadyRunning, fresh_tables
from projections.worker import safe_positions


class AlreadyVerifying(OperatorError):
    """Another verification, or a rebuild, is running."""


class Acknowledgement(msgspec.Struct):
    """A projector has acknowledged more than it has on disk: retention may delete events that it still
    needs."""

    projector: str
    acknowledged: int
    applied: int


class Report(msgspec.Struct):
    """What was found. ``positions``: where each projector was when its read models were compared.

    ``rows``: how many rows differ, by table; ``differences`` names the first of them.
    """

    head: int = 0
    positions: dict[str, int] = {}
    rows: dict[str, int] = {}
    differences: list[Difference] = []
    log: list[LogFault] = []
    dead_letters: list[DeadLetterCount] = []
    acknowledgements: list[Acknowledgement] = []
    damaged: dict[str, str] = {}
    not_compared: list[str] = []

    @property
    def findings(self) -> int:
        lists = len(self.log) + len(self.dead_letters) + len(self.acknowledgements) + len(self.not_compared)
        return sum(self.rows.values()) + lists + len(self.damaged)


def verify(out: TextIO) -> Report:
    """Check everything; nothing live is changed. ``out``: for progress.

    Raises ``AlreadyVerifying``, and the errors of a store that is away.
    """
    report = Report(head=log.head(), log=log_verification.order())
    with relaxed_gc():
        reached = progress(out, "Reading events", "events")
        report.log += log_verification.undecodable(reached)
        report.log += log_verification.kept(progress(out, "Folding streams", "streams"))
    report.acknowledgements = _false_acknowledgements()
    report.dead_letters = [each for each in lag.dead_letter_counts() if each.failed + each.behind]
    report.damaged = rebuilding.find_damage(table for each in PROJECTORS.values() for table in each.tables)
    _compare(report, out)
    return report


def lines(report: Report) -> Iterator[str]:
    """Yield what was found as readable text."""
    for fault in report.log:
        yield f"position {fault.position}, stream {fault.stream}, version {fault.version}: {fault.what}"
    for table, what in report.damaged.items():
        yield f"{table}: {what}; manage.py reset_projections makes it anew"
    for table, count in report.rows.items():
        yield f"{table}: {count:,} rows are not what the events make of them"
        for row in report.differences:
            if row.table == table:
                columns = f" in {', '.join(row.columns)}" if row.columns else ""
                yield f"  row {row.key} {row.kind}{columns}"
    for letters in report.dead_letters:
        yield f"{letters.projector}: {letters.failed} dead letters, {letters.behind} events wait behind them"
    for one in report.acknowledgements:
        yield (
            f"{one.projector}: position {one.acknowledged} is acknowledged, but {one.applied} is applied:"
            " retention may delete what it lacks"
        )
    yield from (f"not compared: {text}" for text in report.not_compared)


def clean_line(report: Report) -> str:
    """Say that nothing was found, and up to which position: read models are compared where their projectors
    are."""
    lagging = {name: position for name, position in report.positions.items() if position < report.head}
    if not lagging:
        return f"Everything agrees, up to position {report.head:,}."
    lowest = min(lagging.values())
    return (
        f"The log is sound up to position {report.head:,}, and the read models agree with it as far as they"
        f" have come: {', '.join(lagging)} lag behind, at {lowest:,} at the lowest. Do projectors run?"
    )


def _false_acknowledgements() -> list[Acknowledgement]:
    # read before the positions, which only grow
    acknowledged = retention.acknowledged()
    with connect("projections", application_name="balados-verify") as connection:
        safe = safe_positions(connection, list(PROJECTORS))
    return [
        Acknowledgement(name, position, safe.get(name, 0))
        for name, position in sorted(acknowledged.items())
        if name in PROJECTORS and position > safe.get(name, 0)
    ]


def _compare(report: Report, out: TextIO) -> None:
    whole = [each for each in PROJECTORS.values() if report.damaged.keys().isdisjoint(each.tables)]
    try:
        with fresh_tables(whole, "balados-verify") as workers:
            with relaxed_gc():
                fill(workers, progress(out, "Folding events", "events"))
            for worker in workers:
                try:
                    compared = compare(worker)
                except NotCompared as reason:
                    report.not_compared.append(str(reason))
                    continue
                report.positions[worker.projector.name] = compared.position
                report.rows |= compared.counts
                report.differences += compared.differences
    except AlreadyRunning as error:
        raise AlreadyVerifying("Another verification, or a rebuild, is running.") from error
