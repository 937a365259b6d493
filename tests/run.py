"""``make test``: every test with the three stores in one database, then the store and projector tests again
with three databases; one count over both. With arguments: one run of pytest with these.
"""

import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    if len(sys.argv) > 1:
        return pytest(*sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="balados-results-") as directory:
        one, three = Path(directory, "one.xml"), Path(directory, "three.xml")
        coverage = ("--cov", "--cov-report=")
        code = pytest(*coverage, f"--junitxml={one}")
        if code not in (0, 1):  # interrupted, or no tests at all
            return code
        print("\nagain, with the stores in three databases:", flush=True)
        options = ("-m", "topology", *coverage, "--cov-append", f"--junitxml={three}")
        code = pytest(*options, TEST_STORES="three") or code
        subprocess.run([sys.executable, "-m", "coverage", "report", "--skip-covered"], cwd=ROOT, check=False)
        count = counted(one) + counted(three)
    print(f"{count['passed']} passed, {count['failed']} failed", end="")
    print(f", {count['skipped']} skipped" if count["skipped"] else "")
    return code or int(count["failed"] > 0 or count["passed"] == 0)


def pytest(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    # wait for it whatever comes, so that it stops its servers: Ctrl-C reaches it by itself, SIGTERM does not
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    return process.wait()


def counted(report: Path) -> Counter[str]:
    """The outcomes in one junit file; a run that wrote none counts as one failure."""
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
