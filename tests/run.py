"""``make test``: every test with the three stores in one database, then those marked ``topology`` again with
three databases; one count over all. With arguments: one run of pytest with these.

The tests run in parts, several at once, each with servers of its own: so they cannot meet, and two cores are
busy. In each part the logs of that part are searched for secrets at the end (test_leaks.py).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
# What belongs together, the longest first; whatever is not named here is a part of its own ("the rest").
TOGETHER: tuple[tuple[str, ...], ...] = (
    ("api",),
    ("e2e", "launch", "jobs"),
    ("operations", "commands"),
    ("web", "accounts"),
    ("projections", "privacy"),
)
# those with the most tests that run again
AGAIN = ("projections", "privacy", "operations", "commands")
AT_ONCE = max(2, os.cpu_count() or 1)
LEAKS = "test_leaks.py"
# pytest's own: all passed, some failed, interrupted … , and what a part of no tests at all ends with
PASSED, FAILED, NO_TESTS = 0, 1, 5


@dataclass
class Part:
    name: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def main() -> int:
    if len(sys.argv) > 1:
        return alone(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="balados-results-") as directory:
        results = Path(directory)
        codes = run(parts(results), results)
        measured = [str(file) for file in results.glob("*.coverage")]
        environment = {**os.environ, "COVERAGE_FILE": str(results / "coverage")}
        for command in (["combine", "--quiet", *measured], ["report", "--skip-covered"]):
            subprocess.run(
                [sys.executable, "-m", "coverage", *command], cwd=ROOT, env=environment, check=False
            )
        count = sum((counted(results / f"{name}.xml") for name in codes), Counter[str]())
    print(f"{count['passed']} passed, {count['failed']} failed", end="")
    print(f", {count['skipped']} skipped" if count["skipped"] else "")
    broken = [name for name, code in codes.items() if code not in (PASSED, FAILED, NO_TESTS)]
    if broken:
        print(f"not run to the end: {', '.join(broken)}")
    return int(bool(broken) or count["failed"] > 0 or count["passed"] == 0)


def parts(results: Path) -> list[Part]:
    """Everything there is, cut into parts that leave their results in the directory ``results``."""
    named = {name for group in TOGETHER for name in group}
    found = sorted(path.name for path in TESTS.iterdir() if path.is_dir() or path.name.startswith("test_"))
    found.remove(LEAKS)
    rest = tuple(name for name in found if name not in named)
    cut = [*(Part(" ".join(group), paths(group)) for group in TOGETHER), Part("the rest", paths(rest))]
    others = tuple(name for name in found if name not in AGAIN)
    again = [
        Part(f"{name}, three databases", ["-m", "topology", *paths(group)], {"TEST_STORES": "three"})
        for name, group in ((" ".join(AGAIN), AGAIN), ("all others", others))
    ]
    for number, part in enumerate([*cut, *again]):
        part.arguments += [f"--junitxml={results / part.name}.xml"]
        if part in cut:  # the second time measures nothing new
            part.arguments += ["--cov", "--cov-report="]
            part.environment["COVERAGE_FILE"] = str(results / f"{number}.coverage")
    return [*cut, *again]


def paths(names: tuple[str, ...]) -> list[str]:
    return [str((TESTS / name).relative_to(ROOT)) for name in (*names, LEAKS) if (TESTS / name).exists()]


def run(waiting: list[Part], results: Path) -> dict[str, int]:
    """Run the parts, so many at once; show the output of each when it has ended. Returns the exit codes."""
    codes: dict[str, int] = {}
    running: list[Running] = []
    stopped = Stopped()
    while waiting or running:
        while waiting and len(running) < AT_ONCE and not stopped:
            running.append(Running(waiting.pop(0), results))
        if stopped:
            waiting.clear()
            for each in running:
                each.stop()
        for each in [each for each in running if each.process.poll() is not None]:
            running.remove(each)
            codes[each.name] = FAILED + 1 if stopped else each.process.returncode
            print(each.said(), flush=True)
        time.sleep(0.1)
    return codes


class Running:
    """A part at work."""

    def __init__(self, part: Part, results: Path) -> None:
        self.name = part.name
        self._output = results / f"{part.name}.log"
        self._started = time.monotonic()
        self._stopped = False
        with self._output.open("wb") as log:
            self.process = started(part.arguments, part.environment, log)

    def said(self) -> str:
        seconds = time.monotonic() - self._started
        return f"\n===== {self.name}: {seconds:.0f} s\n{self._output.read_text(errors='replace')}"

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.process.terminate()


class Stopped:
    """True once somebody wants the run to end: each part then stops its servers by itself."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True

    def __bool__(self) -> bool:
        return self._asked


def alone(arguments: list[str]) -> int:
    process = started(arguments, {})
    # wait for it whatever comes, so that it stops its servers: Ctrl-C reaches it by itself, SIGTERM not
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    return process.wait()


def started(
    arguments: list[str], environment: dict[str, str], output: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
    )


def counted(report: Path) -> Counter[str]:
    """The outcomes in one junit file; a part that wrote none counts as one failure."""
    if not report.exists():
        return Counter(failed=1)
    cases = ElementTree.parse(report).iter("testcase")
    return Counter(outcome(case) for case in cases)


def outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


if __name__ == "__main__":
    sys.exit(main())
