"""Small pictures of foreign image files.

Their decoders are large and written in C. Each file is decoded by a process of its own (``feeds/shrink.py``),
with so much memory and time and not more, and with no secret of ours.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

_PROGRAM = Path(__file__).with_name("shrink.py")
WAIT_S = 30.0


class NoImage(ValueError):
    """Nothing that can be shown; the text says why."""


def thumbnails(data: bytes, sizes: tuple[int, ...]) -> dict[int, bytes]:
    """WebP files of an image, by size: none is higher or wider, and none larger than the original.

    The first picture of an animation, turned as its EXIF data say; nothing else of the file is left. Raises
    ``NoImage`` for all but JPEG, PNG, WebP and GIF, for damaged files, for more than 40 megapixels.
    """
    command = [sys.executable, "-I", str(_PROGRAM), *map(str, sizes)]
    # no secrets of ours
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=WAIT_S, env=environment)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise NoImage("takes too long to decode") from None
    if done.returncode != 0:
        raise NoImage(done.stderr.decode(errors="replace")[-200:] or "cannot be decoded within bounds")
    return msgspec.msgpack.decode(done.stdout, type=dict[int, bytes])
