"""Why a connection is closed: the close code that its client sees, and a word for the exact reason."""

from typing import Final

NOT_TEXT: Final = 1003
RESTART: Final = 1012
UNAVAILABLE: Final = 1013
NOT_AUTHENTICATED: Final = 4401
REVOKED: Final = 4403
TOO_SLOW: Final = 4408
TOO_MANY: Final = 4429


class Closed(Exception):
    """Raised to close this connection. ``reason``: one of the words that docs/apps.md lists."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason
