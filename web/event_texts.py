"""What each event means, in words: "Followed", "Listened up to 12:34"."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from eventstore import codec
from eventstore.domain.episode_actions import EpisodeActionRecorded
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.privacy import PrivacyChanged
from eventstore.domain.topics import OF_EVENT
from web.humanize import clock

# the topics by which a history can be filtered, in the order of the page
TOPICS: Final = {
    "plays": _("Listening"),
    "subscriptions": _("Podcasts followed"),
    "saved": _("Saved and shared"),
    "playlists": _("Playlists"),
    "collections": _("Collections"),
    "privacy": _("Privacy"),
    "episode_actions": _("Downloads and deletions"),
    "devices": _("Devices"),
    "settings": _("Settings of apps"),
    "held_removals": _("Held back"),
}
LEVELS: Final = {"public": _("public"), "anonymous": _("anonymous"), "private": _("private")}
ACTIONS: Final[dict[str, tuple[str, str | Promise]]] = {
    "download": ("download", _("Downloaded")),
    "delete": ("trash-2", _("Download deleted")),
    "new": ("circle-plus", _("Marked as new")),
    "flattr": ("star", _("Supported")),
}
# by the stored name of the event: an icon, and what was done
WORDS: Final[dict[str, tuple[str, str | Promise]]] = {
    "UserSubscribed": ("circle-plus", _("Followed")),
    "UserUnsubscribed": ("circle-x", _("Unfollowed")),
    "EpisodeSaved": ("bookmark", _("Saved")),
    "EpisodeUnsaved": ("bookmark", _("No longer saved")),
    "EpisodeShared": ("share-2", _("Shared")),
    "PlaylistCreated": ("list", _("Playlist made")),
    "PlaylistUpdated": ("list", _("Playlist changed")),
    "PlaylistVisibilityChanged": ("eye", _("Visibility of a playlist changed")),
    "PlaylistReordered": ("arrow-down-up", _("Playlist ordered")),
    "PlaylistDeleted": ("trash-2", _("Playlist deleted")),
    "PlaylistItemAdded": ("plus", _("Added to a playlist")),
    "PlaylistItemRemoved": ("x", _("Removed from a playlist")),
    "CollectionCreated": ("library", _("Collection made")),
    "CollectionUpdated": ("library", _("Collection changed")),
    "CollectionVisibilityChanged": ("eye", _("Visibility of a collection changed")),
    "CollectionReordered": ("arrow-down-up", _("Collection ordered")),
    "CollectionDeleted": ("trash-2", _("Collection deleted")),
    "FeedAddedToCollection": ("plus", _("Added to a collection")),
    "FeedRemovedFromCollection": ("x", _("Removed from a collection")),
    "DeviceRegistered": ("smartphone", _("Device seen")),
    "DeviceForgotten": ("smartphone", _("Device forgotten")),
    "SettingsChanged": ("settings", _("Setting of an app changed")),
    "RemovalHeld": ("pause", _("An app would unfollow this: waits for you")),
    "RemovalSettled": ("check", _("No longer waits for you")),
    "EventsRemoved": ("trash-2", _("Removed from the history for good")),
    "EpisodeIdentified": ("link", _("Found to be the same episode")),
    "ListeningImported": ("inbox", _("Listening statistics imported")),
    "UserCheckpoint": ("inbox", _("Summary of everything before")),
}
# the same, for when the name of the list is known
IN_LIST: Final = {
    "PlaylistItemAdded": _("Added to “%(list)s”"),
    "PlaylistItemRemoved": _("Removed from “%(list)s”"),
    "FeedAddedToCollection": _("Added to “%(list)s”"),
    "FeedRemovedFromCollection": _("Removed from “%(list)s”"),
}
UNKNOWN: Final = ("info", _("Something that this version cannot read"))
_TOPIC_OF: Final = {
    name: OF_EVENT[event].name for name, (event, schema) in codec.EVENTS.items() if event in OF_EVENT
}
# the events, apart from privacy changes, for which the pages show what they replaced
REPLACING: Final = [name for name, topic in _TOPIC_OF.items() if topic == "plays"]


def topic_of_event(event: Event) -> str:
    """Return the topic of an event; it has to have one."""
    return OF_EVENT[type(event)].name


def stored_names(topic: str) -> list[str]:
    """Return the stored names of a topic's events."""
    return [name for name, of in _TOPIC_OF.items() if of == topic]


def before_words(event: Event) -> str:
    """Return what an event said, to show it next to the event that replaced it; "" for
    events where that is not shown."""
    match event:
        case PlayRecorded(played=True) | PositionUpdated(played=True):
            return gettext("played")
        case PlayRecorded(position=0) | PositionUpdated(position=0):
            return gettext("at the beginning")
        case PlayRecorded() | PositionUpdated():
            return clock(event.position)
        case PrivacyChanged(level=str()):
            return str(LEVELS.get(str(event.level), event.level))
    return ""


def words_of(
    stored_name: str, event: Event | None, *, is_again: bool = False, list_name: str = ""
) -> tuple[str, str]:
    """Return an icon, and what was done; ``event`` is None if it cannot be decoded. ``is_again``: an earlier
    event was known. ``list_name``: the name of the list concerned, if known."""
    match event:
        case PlayRecorded(played=True) | PositionUpdated(played=True):
            return "check", gettext("Played to the end")
        case PlayRecorded(position=0):
            return ("undo-2", gettext("Marked as not begun")) if is_again else ("play", gettext("Began"))
        case PlayRecorded() | PositionUpdated():
            return "play", gettext("Listened up to %(time)s") % {"time": clock(event.position)}
        case EpisodeActionRecorded():
            icon, what = ACTIONS[event.action]
            return icon, str(what)
        case PrivacyChanged(level=None):
            return "lock", gettext("Privacy set back")
        case PrivacyChanged():
            level = LEVELS.get(str(event.level), event.level)
            return "lock", gettext("Privacy set to %(level)s") % {"level": level}
    icon, what = UNKNOWN if event is None else WORDS.get(stored_name, UNKNOWN)
    if list_name and stored_name in IN_LIST:
        return icon, IN_LIST[stored_name] % {"list": list_name}
    named = list_name or getattr(event, "name", None)
    return icon, gettext("%(what)s: %(name)s") % {"what": what, "name": named} if named else str(what)
