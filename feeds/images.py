"""Thumbnails of foreign image files.

Image decoders are large and written in C. Each file is therefore decoded in a process of its own
(``feeds/shrink.py``), with limited memory and time, and without access to any secret of ours.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

_PROGRAM = Path(__file__).with_name("shrink.py")
WAIT_S = 30.0


class NoImage(ValueError):
    """An image that cannot be shown; the text says why."""


def thumbnails(data: bytes, sizes: tuple[int, ...]) -> dict[int, bytes]:
    """Return WebP files of an image, by size: none is higher or wider than that, or larger than the original.

    They show the first frame of an animation, rotated by its EXIF data, and keep no other data of the file.
    Raises ``NoImage`` for all but JPEG, PNG, WebP and GIF, for damaged files, and above 40 megapixels.
    """
    command = [sys.executable, "-I", str(_PROGRAM), *map(str, sizes)]
    # pass no secrets of ours on
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=WAIT_S, env=environment)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise NoImage("takes too long to decode") from None
    if done.returncode != 0:
        raise NoImage(done.stderr.decode(errors="replace")[-200:] or "cannot be decoded within bounds")
    return msgspec.msgpack.decode(done.stdout, type=dict[int, bytes])
