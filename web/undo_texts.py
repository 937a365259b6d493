"""What an undo changes, in words: "Followed again", "Back to 12:34"."""

from collections.abc import Mapping
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from eventstore.domain.ordered import ListHeader
from eventstore.domain.undoing import Change
from projections import exposure
from web.event_texts import LEVELS
from web.humanize import clock

Words = tuple[str, str | Promise]
# by topic, and whether it exists after the undo
THERE: Final[Mapping[tuple[str, bool], Words]] = {
    ("subscriptions", True): ("circle-plus", _("Followed again")),
    ("subscriptions", False): ("circle-x", _("Not followed any more")),
    ("saved", True): ("bookmark", _("Saved again")),
    ("saved", False): ("bookmark", _("Not saved any more")),
    ("playlists", True): ("list", _("Playlist back, with all that was in it: %(name)s")),
    ("playlists", False): ("trash-2", _("Playlist deleted: %(name)s")),
    ("collections", True): ("library", _("Collection back, with all that was in it: %(name)s")),
    ("collections", False): ("trash-2", _("Collection deleted: %(name)s")),
    ("devices", True): ("smartphone", _("Device known again: %(name)s")),
    ("devices", False): ("smartphone", _("Device forgotten, until it comes again: %(name)s")),
    ("held_removals", True): ("pause", _("Waits for your answer again")),
    ("held_removals", False): ("check", _("Does not wait for your answer any more")),
}
INSIDE: Final[Mapping[bool, Words]] = {
    True: ("plus", _("Back in %(name)s")),
    False: ("x", _("Taken out of %(name)s")),
}


def words_of(change: Change) -> tuple[str, str, str]:
    """Return an icon, the state after the undo, and the current state where
    that adds information, else ""."""
    then, now = change.values(change.then), change.values(change.now)
    match change.part.topic, change.facet_name:
        case "plays", _name:
            return _of_play(then, now)
        case "privacy", _name:
            return _of_privacy(change, then, now)
        case "settings", _name:
            return "settings", gettext("Settings of an app as they were"), ""
        case topic, None:
            icon, words = THERE[topic, bool(change.then.shown[0])]
            return icon, str(words) % {"name": _name_of(change)}, ""
        case _topic, "member":
            icon, words = INSIDE[bool(change.then.shown[0])]
            return icon, str(words) % {"name": _name_of(change)}, ""
    return _of_list(change, then, now)


def _of_play(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str, str]:
    is_begun = then["position"] > 0
    if then["played"]:
        icon, what = "check", gettext("Played to the end again")
    elif is_begun:
        icon, what = "play", gettext("Back at %(time)s") % {"time": clock(then["position"])}
    else:
        icon, what = "undo-2", gettext("Not begun, as before")
    return icon, what, gettext("played") if now["played"] else clock(now["position"])


def _of_privacy(change: Change, then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str, str]:
    is_now = str(LEVELS[now["level"]]) if now["level"] else ""
    if change.subject == (None, None):
        level = LEVELS[then["level"] or exposure.default_level()]
        return "lock", gettext("Your account %(level)s again") % {"level": level}, is_now
    if then["level"] is None:
        return "lock", gettext("Without a level of its own again"), is_now
    return "lock", gettext("Privacy %(level)s again") % {"level": LEVELS[then["level"]]}, is_now


def _of_list(change: Change, then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str, str]:
    field = change.part.name
    name = {"name": _name_of(change)}
    match field:
        case "name":
            return "pencil", gettext("Called %(name)s again") % {"name": then["name"]}, now["name"]
        case "order":
            return "arrow-down-up", gettext("In the order of before: %(name)s") % name, ""
        case "is_public":
            text = gettext("Public again: %(name)s") if then[field] else gettext("Private again: %(name)s")
            return "eye", text % name, ""
        case "color":
            return "palette", gettext("In the colour of before: %(name)s") % name, ""
    return "pencil", gettext("With the description of before: %(name)s") % name, ""


def _name_of(change: Change) -> str:
    """Return the name of a list or a device."""
    if isinstance(change.of, ListHeader):
        return change.of.name
    caption = getattr(change.of, "caption", None)
    return str(caption or change.device or "")
