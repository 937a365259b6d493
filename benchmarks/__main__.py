"""``python -m benchmarks [topic …] [--tiny]``: measure, and print the figures as Markdown."""

import argparse
import importlib
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks import environment, report
from benchmarks.scale import FULL, TINY

TOPICS = (
    "appends",
    "batches",
    "reads",
    "rebuilds",
    "retention",
    "delays",
    "gaps",
    "syncs",
    "listeners",
    "feeds",
)
# topics that only run when they are named
MORE = ("peer", "space", "refreshing", "hour", "hanging", "gateway", "pages", "apps", "live", "footprint")
# topics that also run when another one is named
WITH = {"feeds": ("refreshing", "hanging", "hour")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="topic", help=f"of {', '.join(TOPICS + MORE)}")
    parser.add_argument("--tiny", action="store_true", help="every line, in seconds: no figures to trust")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance*.md")
    parser.add_argument(
        "--poll-seconds", type=float, metavar="S", help="for so long 200 apps poll once (apps; 600 is true)"
    )
    arguments = parser.parse_args()
    scale = TINY if arguments.tiny else FULL
    if arguments.poll_seconds is not None:
        scale = replace(scale, poll_seconds=arguments.poll_seconds)
    named = [name for topic in arguments.topics for name in (topic, *WITH.get(topic, ()))]
    topics = list(dict.fromkeys(named)) or TOPICS
    if unknown := set(topics) - {*TOPICS, *MORE}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    missed = 0
    with environment.servers():
        machine = "\n".join(f"- {line}" for line in environment.machine())
        print(machine, end="\n\n", flush=True)
        if arguments.write:
            report.write("machine", machine)
        for topic in topics:
            began = time.monotonic()
            section = importlib.import_module(f"benchmarks.{topic}").run(scale)
            print(section.text(), flush=True)
            if arguments.write:
                report.write(topic, f"Of {datetime.now(UTC).date()}.\n\n{section.body()}")
            missed += sum(goal.verdict == "**not met**" for goal in section.goals)
            print(f"{topic}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{missed} goals not met" if missed else "every goal met")


if __name__ == "__main__":
    main()
