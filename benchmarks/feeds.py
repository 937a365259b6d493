"""Reading feeds: our reader, libxml2's bare tree, podcastparser and feedparser, each in its own process."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks import feed_documents
from benchmarks.feed_readers import READERS
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale

ROOT = Path(__file__).parent.parent
OURS, TREE, PODCASTPARSER, FEEDPARSER = "ours", "libxml2, the tree alone", "podcastparser", "feedparser"
# seconds in which the slowest of them reads 10,000 episodes several times
PATIENCE = 300


class Measured(NamedTuple):
    """One reader over one feed: seconds of processor time in each round, and the bytes by which its process
    grew."""

    seconds: list[float]
    grown: int


def run(scale: Scale) -> Section:
    section = Section("Reading feeds", ["episodes", "reader", "CPU ms", "episodes/s", "MB of memory"])
    with tempfile.TemporaryDirectory(prefix="balados-feeds-") as directory:
        for episodes in scale.feeds:
            path = Path(directory) / f"{episodes}.xml"
            path.write_bytes(feed_documents.feed(episodes, 40))
            measured = measure(path, scale.feed_rounds)
            size = path.stat().st_size / 1e6
            section.rows += [
                [f"{episodes:,} ({size:.1f} MB)" if reader == OURS else "", reader, *_row(found, episodes)]
                for reader, found in measured.items()
            ]
            section.goals += goals(episodes, measured)
    section.notes.append(
        "Each reader in processes of its own, by turns; memory is what reading added to a process that holds "
        "the document. Ours gives its episodes one by one, with all tags of the podcast namespace; others "
        "return a list, or a tree."
    )
    return section


def measure(path: Path, rounds: int) -> dict[str, Measured]:
    """Measure the readers in turns, so that a slow minute of the machine affects all of them alike."""
    measured: dict[str, Measured] = {reader: Measured([], 0) for reader in READERS}
    for _ in range(rounds):
        for reader, found in measured.items():
            seconds, grown = _once(reader, path)
            measured[reader] = Measured([*found.seconds, seconds], max(found.grown, grown))
    return measured


def _once(reader: str, path: Path) -> tuple[float, int]:
    """Return the seconds of the quickest of three readings in one process, and the bytes that it grew by.
    feedparser reads a large feed only once, because that takes seconds."""
    is_slow = reader.startswith(FEEDPARSER) and path.stat().st_size > 1e6
    command = [sys.executable, "-m", "benchmarks.feed_readers", reader, str(path), "1" if is_slow else "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True)
    seconds, grown = json.loads(done.stdout)
    return min(seconds), grown


def goals(episodes: int, measured: dict[str, Measured]) -> list[Goal]:
    """Return the goals. Those for small feeds are lower, because the fixed cost of a document is shared by
    fewer episodes."""
    is_large = episodes >= 1_000
    ratios = [(FEEDPARSER, 10.0), (TREE, 0.4 if is_large else 0.25)]
    if is_large:
        ratios.append((PODCASTPARSER, 2.0))
    found = [
        Goal(
            f"{episodes:,} episodes: as fast as {other}",
            ratio(measured[other].seconds, measured[OURS].seconds),
            wanted,
            unit=" ×",
        )
        for other, wanted in ratios
    ]
    if is_large:
        memory = measured[OURS].grown / 1e6
        found.append(
            Goal(f"{episodes:,} episodes: memory over the document", memory, 8, at_most=True, unit=" MB")
        )
    return found


def _row(found: Measured, episodes: int) -> list[str]:
    seconds = middle(found.seconds)
    return [number(seconds * 1e3), number(episodes / seconds), number(found.grown / 1e6)]
