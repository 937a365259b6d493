"""Privacy: what others may see of what a listener does.

A setting applies to the whole account, a feed or an item; the most specific one decides. Of two settings for
one scope the later wins, or on equal times the one that shows less: every doubt resolves to private.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, TypeAlias, assert_never

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import FEED, ITEM, Key
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import LastWriter
from eventstore.domain.topic import Topic

Level: TypeAlias = Literal["public", "anonymous", "private"]
Source: TypeAlias = Literal["item", "feed", "user", "instance"]


class ChangePrivacy(Order, frozen=True, kw_only=True):
    """Sets the level of an item of a feed, of a feed, or with neither of the account. ``feed`` may be left
    out where only one feed is known to have the item."""

    level: Level
    feed: str | None = None
    item: str | None = None


class ClearPrivacy(Order, frozen=True, kw_only=True):
    """Clears a setting, so that the less specific one decides again."""

    feed: str | None = None
    item: str | None = None


class PrivacyChanged(Event, frozen=True, kw_only=True, gc=False):
    """``level`` is None where the setting was cleared. ``claimed_at`` is as in the other topics."""

    level: Level | None = None
    rss_source_feed: str | None = None
    rss_source_item: str | None = None
    changed_at: datetime
    claimed_at: datetime | None = None


PrivacyCommand: TypeAlias = ChangePrivacy | ClearPrivacy


class PrivacySetting(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    level: Level | None
    changed_at: datetime
    feed: str | None = None
    item: str | None = None
    skewed: times.Skewed = ()


class PrivacyEntry(msgspec.Struct, frozen=True, gc=False):
    """A setting for an item, for a feed, or with neither for the account; null clears it. The later time
    decides; on equal times the setting that shows less."""

    privacy: Level | None
    updated_at: datetime
    rss_source_feed: str | None = None
    rss_source_item: str | None = None
    guid: str | None = None
    enclosure_url: str | None = None


ACCOUNT = "user"
# what shows less wins a tie; a cleared setting shows what the less specific one says, which may be everything
STRICTNESS: tuple[Level | None, ...] = ("public", None, "anonymous", "private")


class InForce(NamedTuple):
    """A level, and the kind of setting that it comes from."""

    level: Level
    source: Source


def scope_of(feed: str | None, item: str | None) -> str:
    """Return the key of a setting: an item's own, else a feed's, else the account's."""
    if item is not None:
        # without its feed the setting would apply nowhere
        return f"item:{episode_key(feed or '', item)}"
    return ACCOUNT if feed is None else f"feed:{feed}"


def scopes_of(feed: str | None, item: str | None) -> list[tuple[Source, str]]:
    """Return the scopes that apply to an item, to a feed, or with neither to the account; the most specific
    first."""
    scopes: list[tuple[Source, str]] = []
    if feed is not None and item is not None:
        scopes.append(("item", scope_of(feed, item)))
    if feed is not None:
        scopes.append(("feed", scope_of(feed, None)))
    return [*scopes, ("user", ACCOUNT)]


def in_force(
    settings: Mapping[str, PrivacySetting], feed: str | None, item: str | None, default: Level
) -> InForce:
    """Return the most specific level: item, then feed, then account, then the instance's default."""
    for source, scope in scopes_of(feed, item):
        setting = settings.get(scope)
        if setting is not None and setting.level is not None:
            return InForce(setting.level, source)
    return InForce(default, "instance")


def shown_scope(of: PrivacyEntry) -> str:
    """Return a scope as conflicts name it: by the item or the feed itself."""
    if of.rss_source_item is not None:
        return f"item:{of.rss_source_item}"
    return ACCOUNT if of.rss_source_feed is None else f"feed:{of.rss_source_feed}"


REGISTER = LastWriter(
    PrivacySetting,
    PrivacyEntry,
    key=Key(
        "scope_key",
        (),
        lambda of: scope_of(of.rss_source_feed, of.rss_source_item),
        lambda _: {},
        shown=shown_scope,
        of_episode=lambda key: f"item:{key}",
    ),
    names={"feed": FEED, "item": ITEM},
    entry_names={"level": "privacy", "changed_at": "updated_at"},
    time="changed_at",
    by=("level", "item"),
    ranks={"level": STRICTNESS},
    shown=("level",),
    cleared="level",
    events={PrivacyChanged: {}},
    tie="more_private_wins_a_tie",
)


def decide(entries: Mapping[str, PrivacySetting], command: PrivacyCommand) -> list[Event]:
    if command.item is not None and command.feed is None:
        raise DomainError("feed_required", "Nothing is known of this episode: give the feed as well.")
    scope = scope_of(command.feed, command.item)
    known = entries.get(scope)
    match command:
        case ChangePrivacy():
            level: Level | None = command.level
        case ClearPrivacy():
            level = None
        case _:
            assert_never(command)
    if command.at is None and level == (known.level if known else None):
        return []
    # the time is replaced by the accepted one
    setting = PrivacySetting(level, command.now, command.feed, command.item)
    return REGISTER.write(known, setting, PrivacyChanged, command, scope)


TOPIC = Topic(
    name="privacy",
    plural="privacy_settings",
    kind="privacy_setting",
    register=REGISTER,
    commands={ChangePrivacy: decide, ClearPrivacy: decide},
    keys=lambda command: (scope_of(command.feed, command.item),),
    first=True,
)
Privacy: TypeAlias = Annotated[MutableMapping[str, PrivacySetting], TOPIC]
