"""The benchmarks of the core, run at sizes that say nothing about speed. The others start whole servers or
take half a minute; `make bench ARGS="peer retention feeds --tiny"` shows that they run."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks import opodsync, peer, report, sample
from benchmarks.__main__ import MORE, TOPICS
from benchmarks.peer import Compared
from benchmarks.report import Goal, Section, number, quantile, ratio

ROOT = Path(__file__).parents[2]
TITLES = {
    "appends": "One event per append",
    "batches": "100 events per append",
    "reads": "Reading",
    "rebuilds": "Rebuild of the read models",
    "delays": "From append to projected",
    "gaps": "Skipped events",
    "syncs": "Sync of play statuses",
}


@pytest.fixture(scope="module")
def printed() -> str:
    """What a run of the benchmarks prints; it uses a PostgreSQL and a Redis of its own."""
    command = (sys.executable, "-m", "benchmarks", "--tiny", *TITLES)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_measures_each_topic(printed: str) -> None:
    assert [title for title in TITLES.values() if f"## {title}" not in printed] == []


def test_it_keeps_the_default_durability(printed: str) -> None:
    assert "fsync on, synchronous_commit on, full_page_writes on" in printed


def test_it_finds_no_skipped_event(printed: str) -> None:
    assert "| skipped events | 0.00 | ≤ 0 | met |" in printed


def test_an_unknown_topic_is_refused() -> None:
    done = subprocess.run((sys.executable, "-m", "benchmarks", "nothing"), cwd=ROOT, capture_output=True)
    assert done.returncode == 2


def test_the_event_has_the_size_that_the_goals_are_stated_for() -> None:
    assert sample.size(sample.play(uuid4(), 12_345)) == sample.SIZE


def test_a_goal_says_whether_it_is_met() -> None:
    assert Goal("faster", 2.0, 1.5).verdict == "met"
    assert Goal("faster", 1.0, 1.5).verdict == "**not met**"
    assert Goal("sooner", 1.0, 1.5, at_most=True).verdict == "met"
    assert Goal("sooner", None, 1.5, at_most=True).row()[1:] == ["–", "≤ 1.5", "not measured"]


def test_ratios_are_of_rounds_and_then_the_median() -> None:
    # the second round was disturbed on both sides
    assert ratio([10.0, 1.0, 12.0], [5.0, 0.5, 6.0]) == 2.0
    assert ratio([], []) is None


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 1.0) == 3.0


def test_a_section_is_markdown() -> None:
    section = Section(
        "Reading", ["", "ours"], [["all", number(1_234_567)]], [Goal("much", 2.0, 1.0)], ["So."]
    )
    assert section.text().splitlines() == [
        "## Reading",
        "",
        "|  | ours |",
        "| --- | ---: |",
        "| all | 1,234,567 |",
        "",
        "| goal | measured | wanted |  |",
        "| --- | ---: | ---: | ---: |",
        "| much | 2.00 | ≥ 1 | met |",
        "",
        "So.",
    ]


def test_the_pages_name_topics_that_there_are_and_leave_none_out() -> None:
    text = "".join(document.read_text() for document in report.DOCUMENTS)
    marked = set(re.findall(r"<!-- bench: (\w+) -->", text))
    arguments = [quoted or alone for quoted, alone in re.findall(r'ARGS=(?:"([^"]*)"|(\w+))', text)]
    named = {word for words in arguments for word in words.split() if word.isalpha()}
    topics = {*TOPICS, *MORE}
    assert marked - topics == {"machine"}
    assert named - topics == set()
    assert topics - marked - named == set()
    assert text.count("<!-- bench: ") == text.count("<!-- end -->") == len(marked)


def test_figures_are_written_between_their_own_marks_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- bench: one -->\nold\n<!-- end -->\n<!-- bench: two -->\nold\n<!-- end -->\nb\n")
    report.write("one", "| 1\\2 |", [page])
    kept = "<!-- end -->\n<!-- bench: two -->\nold\n<!-- end -->\nb\n"
    assert page.read_text() == f"a\n<!-- bench: one -->\n\n| 1\\2 |\n\n{kept}"


def test_a_comparison_is_a_row_with_its_verdict() -> None:
    slower = Compared("all out", [2.0, 4.0], [1.0, 3.0], 0.5, unit=" s")
    assert slower.row() == ["all out", "3 s", "2 s", "0.62", "≤ 0.5", "**not met**"]
    assert Compared("plays", [], [700.0], 2, at_most=False).row() == [
        "plays",
        "–",
        "700",
        "–",
        "≥ 2",
        "not measured",
    ]


def test_without_the_peer_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(opodsync, "SOURCE", tmp_path)
    monkeypatch.setattr(opodsync, "PROGRAM", None)
    notes = "\n".join(peer._notes())
    assert "PEER_OPODSYNC=<directory>" in notes
    assert "php-sqlite3" in notes
