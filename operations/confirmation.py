"""Asking before something goes for good: the exact phrase, typed or piped, or nothing happens."""

import sys
from typing import Any, TextIO

from django.core.management.base import OutputWrapper

from operations.errors import OperatorError


class NotConfirmed(OperatorError):
    """Something else than the phrase, or nothing, was given: nothing was touched."""


def confirm(
    phrase: str, out: TextIO | OutputWrapper, answers: TextIO | None = None, *, asked: str = ""
) -> None:
    """Ask on ``out`` for ``phrase`` and read a line of ``answers`` (standard input). Raises ``NotConfirmed``.

    ``asked`` says what is to be typed where the phrase is not to be shown. Upper and lower case, blanks,
    all of it must be the same. There is no option that answers in advance: a script that means it pipes the
    phrase in.
    """
    source = sys.stdin if answers is None else answers
    # a command's stdout wraps the stream, and would end the line
    stream: Any = getattr(out, "_out", out)
    wanted = asked or f"'{phrase}'"
    stream.write(f"Type {wanted} to confirm: ")
    stream.flush()
    line = source.readline()
    if not source.isatty():
        stream.write("\n")
    if line.removesuffix("\n").removesuffix("\r") != phrase:
        what = (
            f"{wanted} was not what was typed" if line else "nobody confirmed (no terminal, nothing piped in)"
        )
        raise NotConfirmed(f"Nothing was touched: {what}.")
