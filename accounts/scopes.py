"""What an app may be allowed: the scopes, their wording for people, and which scope includes which. Pure."""

from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

# every scope in the order of display, with what it lets an app do
WORDS = {
    "*": _("Do everything that you can do here, also what later versions add"),
    "*.read": _("See everything that is here of you, also what later versions add"),
    "*.write": _("Change everything that is here of you, also what later versions add"),
    "user.*": _("See, change and keep in step every part of your account"),
    "user.*.read": _("See every part of your account"),
    "user.*.write": _("Change every part of your account"),
    "user": _("See, change and keep in step everything in your account"),
    "user.read": _("See your whole history, and take out all your data as one file"),
    "user.write": _("Bring in exported data, remove parts of your history for good, make tokens for players"),
    "user.sync": _("Keep your podcasts, plays and playlists in step with the app, both ways"),
    "user.subscriptions": _("See the podcasts you follow, and follow and unfollow podcasts"),
    "user.subscriptions.read": _("See the podcasts you follow"),
    "user.subscriptions.write": _("Follow and unfollow podcasts"),
    "user.plays": _("See what you listen to and how far, and record what you listen to and how far"),
    "user.plays.read": _("See what you listen to and how far"),
    "user.plays.write": _("Record what you listen to and how far"),
    "user.playlists": _("See your playlists, and make, change and delete playlists"),
    "user.playlists.read": _("See your playlists"),
    "user.playlists.write": _("Make, change and delete playlists"),
    "user.collections": _("See your collections of podcasts, and make, change and delete collections"),
    "user.collections.read": _("See your collections of podcasts"),
    "user.collections.write": _("Make, change and delete collections"),
    "user.privacy": _("See what you keep private, and change what you keep private"),
    "user.privacy.read": _("See what you keep private"),
    "user.privacy.write": _("Change what you keep private"),
}
SCOPES = tuple(WORDS)


class InvalidScope(ValueError):
    """The request holds no valid list of scopes; the message names the first fault, escaped for any
    reader."""


def parse(requested: object) -> tuple[str, ...]:
    """Return the scopes of a request, each once and in the order of ``SCOPES``.

    Takes any JSON value. Raises ``InvalidScope``.
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


# computed once and not on every request, because the scopes are few and fixed
_GRANTS = {scope: frozenset(needed for needed in SCOPES if _grants(scope, needed)) for scope in SCOPES}


def _escaped(value: object) -> str:
    """Return a short ASCII text that shows ``value`` and is harmless in a page, a log or a terminal."""
    text = ascii(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
