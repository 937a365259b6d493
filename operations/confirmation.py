"""Asking before something goes for good: the exact phrase, typed or piped, or nothing happens."""

from operations.errors import OperatorError


class NotConfirmed(OperatorError):
    """Something else than the phrase, or nothing, was given: nothing was touched."""


def confirm(phrase: str, asked: str = "") -> None:
    """Ask for ``phrase`` and read a line of standard input. Raises ``NotConfirmed``.

    ``asked`` says what is to be typed where the phrase is not to be shown. Upper and lower case, blanks,
    all of it must be the same. There is no option that answers in advance: a script that means it pipes the
    phrase in.
    """
    wanted = asked or f"'{phrase}'"
    try:
        typed = input(f"Type {wanted} to confirm: ")
    except EOFError:
        said = "nobody confirmed (no terminal, nothing piped in)"
        raise NotConfirmed(f"Nothing was touched: {said}.") from None
    if typed != phrase:
        raise NotConfirmed(f"Nothing was touched: {wanted} was not what was typed.")
