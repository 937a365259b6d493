"""What an app may be allowed: the scopes, and which of them grants which. Pure."""

from collections.abc import Iterable

TOPICS = ("subscriptions", "plays", "playlists", "collections", "privacy")
WILDCARDS = ("*", "*.read", "*.write", "user.*", "user.*.read", "user.*.write")
SCOPES = (
    *WILDCARDS,
    "user",
    "user.read",
    "user.write",
    "user.sync",
    *(f"user.{topic}{half}" for topic in TOPICS for half in ("", ".read", ".write")),
)


class InvalidScope(ValueError):
    """What was asked for is not a list of scopes; the text names the first fault, escaped for any reader."""


def parse(requested: object) -> tuple[str, ...]:
    """The scopes of a request, each once and in the order of ``SCOPES``.

    Takes whatever JSON held. Raises ``InvalidScope``.
    """
    if not isinstance(requested, list):
        raise InvalidScope("scopes must be a list of strings")
    if not requested:
        raise InvalidScope("scopes must name at least one scope")
    if len(requested) > len(SCOPES):
        raise InvalidScope(f"scopes may have at most {len(SCOPES)} entries")
    for scope in requested:
        if not isinstance(scope, str) or scope not in _GRANTS:
            raise InvalidScope(f"unknown scope {_escaped(scope)}")
    return tuple(scope for scope in SCOPES if scope in requested)


def allows(granted: Iterable[str], needed: str) -> bool:
    """Whether one of the granted scopes is, or includes, the needed one. Unknown names grant nothing."""
    return any(needed in _GRANTS.get(scope, ()) for scope in granted)


def _grants(scope: str, needed: str) -> bool:
    match scope:
        case "*":
            return True
        case "*.read" | "*.write":
            return needed.endswith(scope[1:])
        case "user.*":
            return needed.startswith("user.")
        case "user.*.read" | "user.*.write":
            return needed.startswith("user.") and needed.endswith(scope[len("user.*") :])
    return needed == scope or needed.startswith(scope + ".")


# a table rather than rules at every request: the scopes are few and fixed
_GRANTS = {scope: frozenset(needed for needed in SCOPES if _grants(scope, needed)) for scope in SCOPES}


def _escaped(value: object) -> str:
    """A short ASCII text that shows ``value`` and can do nothing to a page, a log or a terminal."""
    text = ascii(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
