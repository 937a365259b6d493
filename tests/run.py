"""``make test`` runs every test with the three stores in three databases, then some again with all in one,
and prints one total. With arguments, it is one run of pytest with these. ``make coverage`` measures the same
tests.

The tests run in parts, several at once, each with its own servers, so that parts do not interfere and two
cores are kept busy. At the end of each part its logs are searched for secrets (test_leaks.py).
"""

import os
import resource
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

from tests.memory import fast_directory

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
# The test directories that run together in one part, the longest first. Whatever is not named here is in the
# last part, "the rest".
PARTS: tuple[tuple[str, ...], ...] = (
    ("operations", "commands"),
    ("web", "accounts"),
    ("e2e", "launch"),
    ("feeds", "playgateway", "jobs", "soak", "benchmarks"),
    ("api", "gpodder"),
    ("projections", "privacy"),
)
# The browser tests wait most, so they are a separate part, started first. Like every part, it includes the
# search for secrets, which is marked ``topology``.
BROWSER = ("web",)
# The directories whose tests marked ``topology`` run again with one database: their results may differ where
# stores share a database, its locks and its notifications. The instances of the end-to-end tests have one
# database as well.
AGAIN = ("eventstore", "projections", "operations")
# tests spend nearly half of their time waiting for servers, processes and browsers
AT_ONCE = 2 * (os.cpu_count() or 1)
LEAKS = "test_leaks.py"
# exit codes of pytest: all tests passed, some failed, none was selected; there are others, such as for an
# interruption
PASSED, FAILED, NO_TESTS = 0, 1, 5


@dataclass
class Part:
    name: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def main(arguments: list[str]) -> int:
    coverage = arguments == ["--coverage"]
    if arguments and not coverage:
        return run_alone(arguments)
    with tempfile.TemporaryDirectory(prefix="balados-results-", dir=fast_directory()) as directory:
        return run_all(Path(directory), coverage=coverage)


def run_all(results: Path, *, coverage: bool) -> int:
    cluster = results / "cluster"
    results.chmod(0o711)  # PostgreSQL runs as a system user of its own if we are root
    subprocess.run([sys.executable, "-m", "tests.template", cluster], cwd=ROOT, check=True)
    codes = run(parts(results, cluster, coverage=coverage), results)
    if coverage:
        report_coverage(results)
    count = sum((counted(results / f"{name}.xml") for name in codes), Counter[str]())
    print(f"{count['passed']} passed, {count['failed']} failed", end="")
    print(f", {count['skipped']} skipped" if count["skipped"] else "")
    broken = [name for name, code in codes.items() if code not in (PASSED, FAILED, NO_TESTS)]
    if broken:
        print(f"not run to the end: {', '.join(broken)}")
    return int(bool(broken) or count["failed"] > 0 or count["passed"] == 0)


def parts(results: Path, cluster: Path, *, coverage: bool) -> list[Part]:
    """Return all tests, divided into parts that write their results to the directory ``results``."""
    named = {name for group in PARTS for name in group}
    found = sorted(path.name for path in TESTS.iterdir() if path.is_dir() or path.name.startswith("test_"))
    rest = tuple(name for name in found if name not in {*named, LEAKS})
    made = [
        Part("web in a browser", ["-m", "browser or topology", *paths(BROWSER)]),
        *(
            Part(" ".join(group), ["-m", "not browser" if "web" in group else "", *paths(group)])
            for group in PARTS
        ),
        Part("the rest", paths(rest)),
        Part("one database", ["-m", "topology", *paths(AGAIN)], {"TEST_STORES": "one"}),
    ]
    for part in made:
        part.arguments.append(f"--junitxml={results / part.name}.xml")
        part.environment["TEST_CLUSTER"] = str(cluster)
        if coverage:
            part.arguments += ["--cov", "--cov-report="]
            part.environment["COVERAGE_FILE"] = str(results / f"{part.name}.coverage")
    return made


def paths(names: tuple[str, ...]) -> list[str]:
    return [str((TESTS / name).relative_to(ROOT)) for name in (*names, LEAKS)]


def report_coverage(results: Path) -> None:
    environment = {**os.environ, "COVERAGE_FILE": str(results / "coverage")}
    measured = map(str, results.glob("*.coverage"))
    for command in (["combine", "--quiet", *measured], ["report", "--skip-covered"]):
        subprocess.run([sys.executable, "-m", "coverage", *command], cwd=ROOT, env=environment, check=False)


def run(waiting: list[Part], results: Path) -> dict[str, int]:
    """Run the parts, at most ``AT_ONCE`` at a time, and print the output of each when it has ended. Returns
    the exit codes."""
    codes: dict[str, int] = {}
    running: list[Running] = []
    stop = StopRequest()
    while waiting or running:
        while waiting and len(running) < AT_ONCE and not stop:
            running.append(Running(waiting.pop(0), results))
        if stop:
            waiting.clear()
            for each in running:
                each.stop()
        for each in tuple(running):
            used = processor_seconds()
            if each.process.poll() is None:
                continue
            running.remove(each)
            codes[each.name] = FAILED + 1 if stop else each.process.returncode
            print(each.report(processor_seconds() - used), flush=True)
        time.sleep(0.1)
    return codes


def processor_seconds() -> float:
    """Return the processor seconds of all parts that have ended, including their servers and browsers."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Running:
    """A part that is running."""

    def __init__(self, part: Part, results: Path) -> None:
        self.name = part.name
        self._output = results / f"{part.name}.log"
        self._started = time.monotonic()
        self._stopped = False
        with self._output.open("wb") as log:
            self.process = start_pytest(part.arguments, part.environment, log)

    def report(self, used: float) -> str:
        took = f"{time.monotonic() - self._started:.0f} s, {used:.0f} s of processors"
        return f"\n===== {self.name}: {took}\n{self._output.read_text(errors='replace')}"

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.process.terminate()


class StopRequest:
    """True once Ctrl-C or SIGTERM has been received. Each part then stops its own servers."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True

    def __bool__(self) -> bool:
        return self._asked


def run_alone(arguments: list[str]) -> int:
    process = start_pytest(arguments, {})
    # Always wait for the process, so that it stops its servers. Ctrl-C reaches it directly, SIGTERM does not.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    return process.wait()


def start_pytest(
    arguments: list[str], environment: dict[str, str], output: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
    )


def counted(report: Path) -> Counter[str]:
    """Return the outcomes in one JUnit file; a part that wrote none counts as one failure."""
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
    sys.exit(main(sys.argv[1:]))
