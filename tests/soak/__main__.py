"""``python -m tests.soak [--seed N] [--listeners N] [--minutes N]``: run the soak and print what it found."""

import argparse
import dataclasses
import secrets
import sys
import time

from tests.soak import clock
from tests.soak.soak import WEEK, WORST_SHOWN, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--listeners", type=int, default=WEEK.listeners)
    parser.add_argument("--minutes", type=float, default=WEEK.seconds / 60)
    arguments = parser.parse_args()
    if clock.COMPILER is None:
        print(f"soak: {clock.MISSING}", file=sys.stderr)
        return 2
    plan = dataclasses.replace(WEEK, listeners=arguments.listeners, seconds=arguments.minutes * 60)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    say(f"seed {arguments.seed} (again: make soak ARGS='--seed {arguments.seed}')")
    faults = soak(plan, arguments.seed, say, moving=True)
    for fault in faults[:WORST_SHOWN]:
        print(f"  {fault}")
    say(f"seed {arguments.seed}: {f'{len(faults)} FAULTS' if faults else 'all is well'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
