"""The resources of the machine, or those that a container or a systemd unit is limited to."""

import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OUR_GROUP = Path("/proc/self/cgroup")


def memory() -> int:
    """Return the bytes of memory: what is installed, or less if a control group sets a limit (Linux)."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *_limits()])


def _limits() -> Iterator[int]:
    """Yield the memory limits of our control group and of its ancestors; in a container, up to what it sees
    as the root."""
    try:
        named = [line.split(":", 2) for line in OUR_GROUP.read_text().splitlines()]
    except OSError:
        return
    for number, _, group in named:
        if number != "0":  # version 1 of control groups, which has a hierarchy for each resource
            continue
        ours = Path(group.strip("/"))
        for each in (ours, *ours.parents):
            try:
                text = (CONTROL_GROUPS / each / "memory.max").read_text().strip()
            except OSError:  # the root group has no such file
                continue
            if text.isdigit():
                yield int(text)
