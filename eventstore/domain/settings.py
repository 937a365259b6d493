"""Settings that apps keep on the server: for the account, a device, a podcast or an episode.

Each scope is one dictionary, of which the newest counts as a whole. Where a device spells the URL of a
podcast in its own way, that spelling is a setting of the podcast on that device.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import FEED, ITEM, Key
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import LastWriter
from eventstore.domain.topic import Topic

# The name of the setting that holds a device's own spelling of a podcast's URL.
SPELLING = "url"
# the longest name in characters and the longest value, as JSON, in bytes; the most names of a scope, and the
# most scopes of a listener, not counting those that hold a spelling alone
LONGEST_NAME: Final = 255
LONGEST_VALUE: Final = 4_096
MOST_NAMES: Final = 256
MOST_SCOPES: Final = 4_096


class ChangeSettings(Order, frozen=True, kw_only=True):
    """Changes settings of an item of a feed, a feed, a device, a feed on a device, or with none of them of
    the account.

    ``set``: names with any JSON values; ``remove``: names. Other settings of the scope stay.
    """

    set: dict[str, Any] = {}
    remove: tuple[str, ...] = ()
    device: str | None = None
    feed: str | None = None
    item: str | None = None


class SettingsChanged(Event, frozen=True, kw_only=True, gc=False):
    """``settings``: all settings of the scope, as JSON with sorted names; None where none are left."""

    device: str | None = None
    rss_source_feed: str | None = None
    rss_source_item: str | None = None
    settings: str | None = None
    changed_at: datetime
    claimed_at: datetime | None = None


class Settings(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    settings: str | None
    changed_at: datetime
    device: str | None = None
    feed: str | None = None
    item: str | None = None
    skewed: times.Skewed = ()

    @property
    def values(self) -> dict[str, Any]:
        return {} if self.settings is None else msgspec.json.decode(self.settings)


class SettingsEntry(msgspec.Struct, frozen=True, gc=False):
    """All settings of a scope as a device knows them, as a JSON object. The later time decides."""

    settings: str | None
    updated_at: datetime
    device: str | None = None
    rss_source_feed: str | None = None
    rss_source_item: str | None = None
    guid: str | None = None
    enclosure_url: str | None = None


def scope_of(device: str | None = None, feed: str | None = None, item: str | None = None) -> str:
    """Return the key of a scope."""
    if item is not None:
        return f"item:{episode_key(feed or '', item)}"
    if device is not None:
        return f"device:{device}" if feed is None else f"device:{device}:{feed}"
    return "account" if feed is None else f"feed:{feed}"


def shown_scope(of: SettingsEntry) -> str:
    """Return a scope as conflicts name it."""
    if of.rss_source_item is not None:
        return f"item:{of.rss_source_item}"
    return scope_of(of.device, of.rss_source_feed)


REGISTER = LastWriter(
    Settings,
    SettingsEntry,
    key=Key(
        "scope_key",
        (),
        lambda of: scope_of(of.device, of.rss_source_feed, of.rss_source_item),
        lambda _: {},
        shown=shown_scope,
        of_episode=lambda key: f"item:{key}",
    ),
    names={"feed": FEED, "item": ITEM},
    entry_names={"changed_at": "updated_at"},
    time="changed_at",
    by=("settings", "item", "device"),
    shown=("settings",),
    cleared="settings",
    events={SettingsChanged: {}},
    tie="greater_settings_win_a_tie",
)


def change(entries: Mapping[str, Settings], command: ChangeSettings) -> list[Event]:
    # settings of an episode are the same on every device, so the key leaves the device out
    device = command.device if command.item is None else None
    scope = scope_of(device, command.feed, command.item)
    known = entries.get(scope)
    values = {**(known.values if known else {}), **command.set}
    left = {name: value for name, value in values.items() if name not in command.remove}
    text = msgspec.json.encode(left, order="sorted").decode() if left else None
    if command.at is None and text == (known.settings if known else None):
        return []
    changed = Settings(text, command.now, device, command.feed, command.item)
    return REGISTER.write(known, changed, SettingsChanged, command, scope)


TOPIC = Topic(
    name="settings",
    plural="settings",
    kind="settings_of_a_scope",
    register=REGISTER,
    commands={ChangeSettings: change},
    keys=lambda command: (scope_of(None if command.item else command.device, command.feed, command.item),),
)
AllSettings: TypeAlias = Annotated[MutableMapping[str, Settings], TOPIC]
