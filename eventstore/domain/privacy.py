"""Privacy: what others may see of what a listener does.

A setting stands for the whole account, a feed or an item; the most specific decides. Of two settings for one
scope the later wins, on equal times the one that shows less: every doubt resolves to private.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias, assert_never
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.messages import Command, Event

Level: TypeAlias = Literal["public", "anonymous", "private"]
Source: TypeAlias = Literal["item", "feed", "user", "instance"]


class ChangePrivacy(Command, frozen=True, kw_only=True):
    """For an item, for a feed, or with neither for the account. The feed beside an item is kept with it."""

    level: Level
    now: datetime
    at: datetime | None = None
    feed: str | None = None
    item: str | None = None


class ClearPrivacy(Command, frozen=True, kw_only=True):
    """Take a setting back: what is less specific decides again."""

    now: datetime
    at: datetime | None = None
    feed: str | None = None
    item: str | None = None


class PrivacyChanged(Event, frozen=True, kw_only=True, gc=False):
    """``level`` is none where the setting was cleared. ``claimed_at`` as in the other topics."""

    level: Level | None = None
    rss_source_feed: str | None = None
    rss_source_item: str | None = None
    changed_at: datetime
    claimed_at: datetime | None = None


PrivacyCommand: TypeAlias = ChangePrivacy | ClearPrivacy
PrivacyEvent: TypeAlias = PrivacyChanged


class PrivacySetting(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    level: Level | None
    changed_at: datetime
    feed: str | None = None
    item: str | None = None
    claims: times.Claims = ()


class PrivacyEntry(msgspec.Struct, frozen=True, gc=False):
    """What a device knows of one setting, in a sync. ``privacy`` is null where it was cleared."""

    privacy: Level | None
    updated_at: datetime
    rss_source_feed: str | None = None
    rss_source_item: str | None = None


# by scope_of
PrivacySettings: TypeAlias = dict[str, PrivacySetting]

ACCOUNT = "user"
# what shows less wins a tie; a cleared setting shows what the next wider one says, which may be everything
_STRICTNESS: Mapping[Level | None, int] = {"public": 0, None: 1, "anonymous": 2, "private": 3}


class InForce(NamedTuple):
    """A level, and which kind of setting says so."""

    level: Level
    source: Source


def scope_of(feed: str | None, item: str | None) -> str:
    """The key of a setting: an item's own, else a feed's, else the account's."""
    if item is not None:
        return f"item:{item}"
    return ACCOUNT if feed is None else f"feed:{feed}"


def scopes_of(feed: str | None, item: str | None) -> list[tuple[Source, str]]:
    """The scopes that bear on an item, a feed, or with neither on the account; the most specific first."""
    scopes: list[tuple[Source, str]] = []
    if item is not None:
        scopes.append(("item", scope_of(None, item)))
    if feed is not None:
        scopes.append(("feed", scope_of(feed, None)))
    return [*scopes, ("user", ACCOUNT)]


def in_force(
    settings: Mapping[str, PrivacySetting], feed: str | None, item: str | None, default: Level
) -> InForce:
    """The most specific level: item, then feed, then account, then the instance's default."""
    for source, scope in scopes_of(feed, item):
        setting = settings.get(scope)
        if setting is not None and setting.level is not None:
            return InForce(setting.level, source)
    return InForce(default, "instance")


def merge(one: PrivacySetting, other: PrivacySetting) -> PrivacySetting:
    newest = max(one, other, key=_key)
    if not one.claims and not other.claims:
        return newest
    return msgspec.structs.replace(newest, claims=times.remember(one.claims, *other.claims))


def decide(state: PrivacySettings, command: PrivacyCommand) -> list[Event]:
    known = state.get(scope_of(command.feed, command.item))
    match command:
        case ChangePrivacy():
            level: Level | None = command.level
        case ClearPrivacy():
            level = None
        case _:
            assert_never(command)
    if command.at is not None:
        at, claimed = times.believed(command.at, known.claims if known else (), command.now)
        if at is None:
            return []
        setting = PrivacySetting(level, at, command.feed, command.item)
        if claimed is None and known is not None and _key(setting) <= _key(known):
            return []
        return [_changed(command.user_id, setting, claimed)]
    if known is None:
        setting = PrivacySetting(level, command.now, command.feed, command.item)
        return [] if level is None else [_changed(command.user_id, setting, None)]
    # who names the item alone does not take back which feed it is of
    feed = command.feed or known.feed
    if (level, feed) == (known.level, known.feed):
        return []
    at = times.on_top_of(command.now, known.changed_at)
    return [_changed(command.user_id, PrivacySetting(level, at, feed, command.item), None)]


def evolve(state: PrivacySettings, event: PrivacyEvent) -> None:
    scope = scope_of(event.rss_source_feed, event.rss_source_item)
    setting = PrivacySetting(
        event.level,
        event.changed_at,
        event.rss_source_feed,
        event.rss_source_item,
        times.claim(event.claimed_at),
    )
    known = state.get(scope)
    state[scope] = setting if known is None else merge(known, setting)


def reconcile(
    state: PrivacySettings, entries: list[PrivacyEntry], user_id: UUID, now: datetime
) -> list[Event]:
    """The events of every setting of which a device knows something newer than the state."""
    events: list[Event] = []
    for scope, sent in together(entries).items():
        known = state.get(scope)
        at, claimed = times.believed(sent.changed_at, known.claims if known else (), now)
        if at is None:
            continue
        # a replaced time is recorded also where it loses: so that it is known when it comes again
        if claimed is None and known is not None and _key(sent) <= _key(known):
            continue
        events.append(_changed(user_id, msgspec.structs.replace(sent, changed_at=at), claimed))
    return events


def together(entries: Iterable[PrivacyEntry]) -> PrivacySettings:
    """One setting per scope of a payload, by the times they claim."""
    sent: PrivacySettings = {}
    for entry in entries:
        said = PrivacySetting(entry.privacy, entry.updated_at, entry.rss_source_feed, entry.rss_source_item)
        scope = scope_of(said.feed, said.item)
        twin = sent.get(scope)
        sent[scope] = said if twin is None else merge(twin, said)
    return sent


def lost(
    state: PrivacySettings, entries: list[PrivacyEntry], now: datetime
) -> Iterator[tuple[str, PrivacyEntry, PrivacyEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    for scope, said in together(entries).items():
        stands = state[scope]
        if said.level == stands.level:
            continue
        tie = "more_private_wins_a_tie"
        rule = times.rule(said.changed_at, stands.changed_at, stands.claims, now, tie)
        yield scope, _entry(said), _entry(stands), rule


def document(state: PrivacySettings, scopes: Iterable[str] | None = None) -> list[PrivacyEntry]:
    """All entries, or those of ``scopes`` that the state knows, as a device would send them."""
    return [_entry(state[scope]) for scope in (state if scopes is None else scopes) if scope in state]


def pruned(state: PrivacySettings, before: datetime) -> PrivacySettings:
    """A copy without what was cleared before that time."""
    return {scope: one for scope, one in state.items() if one.level is not None or one.changed_at >= before}


def _entry(of: PrivacySetting) -> PrivacyEntry:
    return PrivacyEntry(of.level, of.changed_at, of.feed, of.item)


def _changed(user_id: UUID, to: PrivacySetting, claimed: datetime | None) -> PrivacyChanged:
    return PrivacyChanged(
        user_id=user_id,
        level=to.level,
        rss_source_feed=to.feed,
        rss_source_item=to.item,
        changed_at=to.changed_at,
        claimed_at=claimed,
    )


def _key(of: PrivacySetting) -> tuple[datetime, int, str]:
    return (of.changed_at, _STRICTNESS[of.level], of.feed or "")
