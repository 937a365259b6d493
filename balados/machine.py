"""The machine that an instance has, or the part of one that a container or a unit is given."""

import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OUR_GROUP = Path("/proc/self/cgroup")


def memory() -> int:
    """Bytes of memory: what is installed, or less where a control group has a limit (Linux)."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *_limits()])


def _limits() -> Iterator[int]:
    """Those of our control group and of the ones around it; of a container, what it sees as the root."""
    try:
        named = [line.split(":", 2) for line in OUR_GROUP.read_text().splitlines()]
    except OSError:
        return
    for number, _, group in named:
        if number != "0":  # version 1, a hierarchy for each resource
            continue
        ours = Path(group.strip("/"))
        for each in (ours, *ours.parents):
            try:
                text = (CONTROL_GROUPS / each / "memory.max").read_text().strip()
            except OSError:  # none for the root of the machine
                continue
            if text.isdigit():
                yield int(text)
