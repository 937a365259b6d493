"""Whether the stores are what they should be: the log in order, the read models what the log makes of it."""

from collections.abc import Iterator
from contextlib import closing
from typing import TextIO
from uuid import UUID

import msgspec

from eventstore import erasure, log, retention
from eventstore import verification as log_verification
from eventstore.log import StreamErased
from eventstore.verification import LogFault
from operations import rebuilding
from operations.errors import OperatorError
from operations.progress import progress, without
from projections.comparison import Difference, NotCompared, Scratch
from projections.connect import connect
from projections.garbage import relaxed_gc
from projections.projectors import PROJECTORS
from projections.rebuild import AlreadyRunning
from projections.worker import safe_positions

LETTERS = """
SELECT projector, count(*) FILTER (WHERE error <> ''), count(*) FILTER (WHERE error = '')
  FROM "users"."dead_letters"
 WHERE projector = ANY(%s) AND (%s::bigint IS NULL OR stream = %s) GROUP BY projector ORDER BY projector
"""


class AlreadyVerifying(OperatorError):
    """Another verification is running."""


class Letters(msgspec.Struct):
    """Dead letters: events that a projector could not apply, and those that wait behind them."""

    projector: str
    failed: int
    behind: int


class Acknowledgement(msgspec.Struct):
    """A projector has acknowledged more than it has on disk: retention may delete what it lacks."""

    projector: str
    acknowledged: int
    applied: int


class Report(msgspec.Struct):
    """What was found. ``positions``: where each projector was when its read models were compared.

    ``rows``: per table, how many rows differ; ``differences`` names the first of them.
    """

    head: int = 0
    positions: dict[str, int] = {}
    rows: dict[str, int] = {}
    differences: list[Difference] = []
    log: list[LogFault] = []
    dead_letters: list[Letters] = []
    acknowledgements: list[Acknowledgement] = []
    damaged: dict[str, str] = {}
    not_compared: list[str] = []

    @property
    def findings(self) -> int:
        lists = len(self.log) + len(self.dead_letters) + len(self.acknowledgements) + len(self.not_compared)
        return sum(self.rows.values()) + lists + len(self.damaged)


def verify(out: TextIO, user_id: UUID | None = None) -> Report:
    """Look at everything, or at what concerns one listener; nothing live is changed. ``out``: for progress.

    Raises ``AlreadyVerifying``, ``StreamErased``, and the errors of a store that is away.
    """
    stream = None if user_id is None else _stream(user_id)
    report = Report(head=log.head())
    _log(report, out, stream)
    with connect(rebuilding.ALIAS, application_name="balados-verify") as connection:
        names = list(PROJECTORS)
        # read before the positions, which only grow
        acknowledged = retention.acknowledged() if user_id is None else {}
        safe = safe_positions(connection, names)
        report.acknowledgements = [
            Acknowledgement(name, position, safe.get(name, 0))
            for name, position in acknowledged.items()
            if name in PROJECTORS and position > safe.get(name, 0)
        ]
        letters = connection.execute(LETTERS, [names, stream, stream])
        report.dead_letters = [Letters(*row) for row in letters]
        report.damaged = rebuilding.find_damage(
            table for each in PROJECTORS.values() for table in each.tables
        )
    _read_models(report, out, user_id)
    return report


def lines(report: Report) -> Iterator[str]:
    """What was found, for the eye."""
    for fault in report.log:
        at = f"position {fault.position}, " if fault.position else "snapshot of "
        yield f"{at}stream {fault.stream}, version {fault.version}: {fault.what}"
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
    """That nothing was found, and up to where: read models are compared where their projectors are."""
    lagging = {name: position for name, position in report.positions.items() if position < report.head}
    if not lagging:
        return f"Everything agrees, up to position {report.head:,}."
    lowest = min(lagging.values())
    return (
        f"The log is sound up to position {report.head:,}, and the read models agree with it as far as they"
        f" have come: {', '.join(lagging)} lag behind, at {lowest:,} at the lowest. Do projectors run?"
    )


def _stream(user_id: UUID) -> int:
    """The number of a listener's stream; 0 for one who never did anything, for whom none is opened."""
    stream = log.known_stream(user_id)
    if stream is None and erasure.is_tombstoned(user_id):
        raise StreamErased(str(user_id))
    return stream or 0


def _log(report: Report, out: TextIO, stream: int | None) -> None:
    report.log = log_verification.order(stream)
    with relaxed_gc():
        reached = progress(out, "Reading events", "events")
        report.log += log_verification.undecodable(without(log.position_gaps(), reached), stream)
    report.log += log_verification.unfaithful_snapshots(stream)


def _read_models(report: Report, out: TextIO, user_id: UUID | None) -> None:
    whole = [each for each in PROJECTORS.values() if report.damaged.keys().isdisjoint(each.tables)]
    # figures belong to no listener
    wanted = [each for each in whole if user_id is None or each.name != "popularity"]
    try:
        with closing(Scratch(wanted, user_id)) as scratch:
            with relaxed_gc():
                reached = progress(out, "Folding events", "events")
                scratch.fill(without(log.position_gaps(), reached))
            for projector in wanted:
                try:
                    compared = scratch.compare(projector)
                except NotCompared as reason:
                    report.not_compared.append(str(reason))
                    continue
                report.positions[projector.name] = compared.position
                report.rows |= compared.counts
                report.differences += compared.differences
    except AlreadyRunning as error:
        raise AlreadyVerifying("Another verification is running.") from error
