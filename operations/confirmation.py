"""Confirmation before something is deleted for good: nothing happens unless the exact phrase is typed or
piped in."""

from operations.errors import OperatorError


class NotConfirmed(OperatorError):
    """Something other than the phrase was given, or nothing; nothing was touched."""


def confirm(phrase: str, asked: str = "") -> None:
    """Ask for ``phrase`` and read a line of standard input. Raises ``NotConfirmed``.

    ``asked`` describes what to type where the phrase itself is not to be shown. The line must match exactly,
    including case and blanks. No option answers in advance: a script that means it pipes the phrase in.
    """
    wanted = asked or f"'{phrase}'"
    try:
        typed = input(f"Type {wanted} to confirm: ")
    except EOFError:
        reason = "nobody confirmed (no terminal, nothing piped in)"
        raise NotConfirmed(f"Nothing was touched: {reason}.") from None
    if typed != phrase:
        raise NotConfirmed(f"Nothing was touched: {wanted} was not what was typed.")
