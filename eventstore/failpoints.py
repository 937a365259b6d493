"""Named places where a test can end the process as kill -9 would.

``BALADOS_FAILPOINT=deleting`` ends it the first time that this point is reached, ``deleting:3`` the third
time.
"""

import os
import signal
from collections import Counter

_reached: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """End the process if the environment names this failpoint; else do nothing."""
    wanted = os.environ.get("BALADOS_FAILPOINT")
    if wanted is None:
        return
    _reached[name] += 1
    point, _, times = wanted.partition(":")
    if point == name and _reached[name] == int(times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
