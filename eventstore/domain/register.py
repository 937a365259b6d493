"""What all registers share (registers.py). A register is the state of one thing, merged from everything that
says a part of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import FEED, ITEM, Carrier, Field, Group, Key, copier, copier_of_all, reader
from eventstore.domain.identifiers import ITEM_WITHOUT_GUID, digests_of, has_guid
from eventstore.domain.messages import Event, Order
from eventstore.domain.naming import Episode
from eventstore.domain.partial import pick, states
from eventstore.domain.times import AcceptedTime

S = TypeVar("S", bound=msgspec.Struct)
# whether a scope covers something, given the digests of its feed and of its item as far as these are known
Covers = Callable[[str | None, str | None], bool]
replace = msgspec.structs.replace


class Conflict(NamedTuple):
    """An entry of a device that lost: what the device said, what counts, and the rule that decided."""

    key: str
    client: Any
    server: Any
    rule: str


class InEffect(NamedTuple):
    """Whether what an event said still holds, and the rule that decided for or against it."""

    holds: bool
    rule: str


class Decided(NamedTuple):
    """Whether an event holds, the time of what holds, and the name of the rule for equal times."""

    holds: bool
    at: datetime | None
    tie: str


class Register(Generic[S]):
    """The base class of all registers. A topic declares ``key``, ``tie`` (the rule for equal times) and
    ``names`` (what events, entries and tables call fields of the state that they name differently).

    ``entry_names``: the same for entries alone. ``ranks``: for fields whose values do not compare directly,
    the values from least to greatest. ``within``: the event field that names the list, for members of a list.
    """

    groups: tuple[Group, ...]

    def __init__(
        self,
        state: type[S],
        entry: type[msgspec.Struct],
        *,
        key: Key,
        tie: str,
        names: Mapping[str, str] = {},
        entry_names: Mapping[str, str] = {},
        ranks: Mapping[str, tuple[Any, ...]] = {},
        within: str | None = None,
    ) -> None:
        self.state, self.entry, self.key, self.tie = state, entry, key, tie
        types = {field.name: field.type for field in msgspec.structs.fields(state)}
        self.names = names
        self.fields = {
            name: Field(name, names.get(name, name), type_, ranks.get(name))
            for name, type_ in types.items()
            if name not in ("skewed", "facts", "members")
        }
        inside = {public: name for name, public in names.items()}
        self._feed, self._item = reader(state, inside.get(FEED, FEED)), reader(state, inside.get(ITEM, ITEM))
        self.within = within
        self.carriers: dict[type[Event], Carrier] = {}
        public_names = {
            name: entry_names.get(name, field.public)
            for name, field in self.fields.items()
            if entry_names.get(name, field.public) in entry.__struct_fields__
        }
        self.entry_fields = public_names
        blank = {name for name in public_names if self.fields[name].is_nullable_text}
        from_entry = {
            name: f"{public} or None" if name in blank else public for name, public in public_names.items()
        }
        self._from_entry = copier(state, from_entry)
        # ``guid`` and ``enclosure_url`` are parts of the item, filled in by whoever shows the entry
        known = {*public_names.values(), "guid", "enclosure_url"}
        beside = [name for name in entry.__struct_fields__ if name not in known]
        copied = {public: name for name, public in public_names.items()}
        self._from_entries = copier_of_all(state, from_entry)
        self._to_entry = copier(entry, copied, beside)
        self._to_entries = copier_of_all(entry, copied)

    def carry(self, event: type[Event], time: str, names: Mapping[str, str] = {}) -> Carrier:
        """Declare an event class; ``time`` is the field of the state that says when the event happened."""
        key = self.key.fields if self.within is None else (*self.key.fields, self.within)
        carrier = Carrier(event, self.state, key, {**self.names, **names}, time)
        self.carriers[event] = carrier
        return carrier

    def group(self, times: tuple[str, ...], names: Iterable[str] = ()) -> Group:
        return Group(times, tuple(self.fields[name] for name in names))

    # the fold

    def merge(self, one: S, other: S) -> S:
        """Merge two states into one; neither their order nor repetition matters."""
        first, *others = self.groups
        merged = other if first.exceeds(other, one) else one
        taken: dict[str, Any] = {}
        for group in others:
            taken |= group.taken(other if group.exceeds(other, one) else one)
        if one.skewed or other.skewed:  # type: ignore[attr-defined]  # every state has it
            taken["skewed"] = times.remember(one.skewed, *other.skewed)  # type: ignore[attr-defined]
        return replace(merged, **taken) if taken else merged

    def state_from(self, event: Any) -> S:
        """Return an event as a state, as if nothing else were known."""
        carrier = self.carriers[type(event)]
        carried: S = carrier.state_of(event)
        if carrier.is_skewable and event.claimed_at is not None:
            return replace(carried, skewed=(event.claimed_at,))
        return carried

    def evolve(self, entries: MutableMapping[str, S], event: Event) -> None:
        key = self.key.read(event)
        known = entries.get(key)
        carried = self.state_from(event)
        merged = carried if known is None else self.merge(known, carried)
        if merged is not known:
            entries[key] = merged

    def evolve_all(self, entries: MutableMapping[str, S], events: Sequence[Event]) -> None:
        """Fold in events of one class."""
        if type(self).evolve is not Register.evolve:
            for event in events:
                self.evolve(entries, event)
            return
        keys = list(map(self.key.read, events))
        known = pick(entries, dict.fromkeys(keys))
        changed: dict[str, S] = {}
        for key, carried in zip(keys, self.states_from(events), strict=True):
            before = known.get(key)
            merged = carried if before is None else self.merge(before, carried)
            if merged is not before:
                known[key] = changed[key] = merged
        entries.update(changed)

    def states_from(self, events: Sequence[Any]) -> list[S]:
        """Return events of one class as states, as ``state_from`` does."""
        return list(map(self.state_from, events))

    # deciding

    def is_news(self, known: S | None, incoming: S) -> bool:
        return known is None or self.merge(known, incoming) != known

    def accept(self, known: S | None, order: Order) -> AcceptedTime:
        """Return the accepted time of an order. An order without a time comes after everything that is
        known."""
        if order.at is not None:
            return times.accept_client_time(order.at, skewed_of(known), order.now)
        known_times = [group.at(known) for group in self.groups] if known else []
        return AcceptedTime(times.after_all(order.now, *known_times))

    def write(
        self, known: S | None, incoming: S, event: type[Event], order: Order, key: str, within: Any = None
    ) -> list[Event]:
        """Return the event of an order with the values ``incoming``, whose time is still to be determined;
        none where it changes nothing. A replaced client time is recorded even where it loses, so that it is
        recognised when it is sent again."""
        accepted = self.accept(known, order)
        if accepted.at is None:
            return []
        incoming = self.at(incoming, event, accepted.at)
        if accepted.skewed is None and not self.is_news(known, incoming):
            return []
        named = self.key.named(key)
        if self.within is not None:
            named[self.within] = within
        return [self.carriers[event].make(order.user_id, named, incoming, accepted.skewed)]

    def record(
        self,
        event: type[Event],
        order: Order,
        key: str,
        incoming: S,
        skewed: datetime | None,
        **more: Any,
    ) -> list[Event]:
        """Return the event of an order, whatever is known already. ``more``: as in ``Carrier.make``."""
        return [self.carriers[event].make(order.user_id, self.key.named(key), incoming, skewed, **more)]

    def at(self, incoming: S, event: type[Event], at: datetime) -> S:
        """Return ``incoming`` with the time ``at``."""
        raise NotImplementedError

    # syncs

    def from_entry(self, entry: Any, user_id: UUID) -> S:
        """Return what a device of that user says, as a state; an empty text becomes None."""
        return self._from_entry(entry)  # type: ignore[no-any-return]

    def from_entries(self, entries: Sequence[Any], user_id: UUID) -> list[S]:
        if type(self).from_entry is Register.from_entry:
            return self._from_entries(entries)
        return [self.from_entry(entry, user_id) for entry in entries]

    def to_entry(self, key: str, state: S, **more: Any) -> Any:
        """Return the state as a device would send it."""
        return self._to_entry(state, **self.key.named(key), **more)

    def key_of_entry(self, entry: Any) -> str:
        return self.key.read(entry)

    def to_entries(
        self, entries: Mapping[str, S], keys: Iterable[str] | None = None, spelt: Mapping[str, S] = {}
    ) -> list[Any]:
        """Return all entries, or the known ones of ``keys``, as a device would send them. ``spelt``: the
        states of entries that are shown with another spelling."""
        if keys is None and not spelt and not self.key.fields:
            return self._to_entries(states(entries))
        shown = entries if keys is None else pick(entries, keys)
        return [self.to_entry(key, spelt.get(key, of)) for key, of in shown.items()]

    def merge_payload(self, payload: Iterable[Any], user_id: UUID) -> dict[str, S]:
        """Return one state per key of a payload; two entries of one key are merged by their times."""
        payload = list(payload)
        keys, states = list(map(self.key_of_entry, payload)), self.from_entries(payload, user_id)
        sent = dict(zip(keys, states, strict=True))
        if len(sent) == len(keys):
            return sent
        sent = {}
        for key, incoming in zip(keys, states, strict=True):
            twin = sent.get(key)
            sent[key] = incoming if twin is None else self.merge(twin, incoming)
        return sent

    def reconcile(
        self, entries: Mapping[str, S], sent: Mapping[str, S], user_id: UUID, now: datetime
    ) -> list[Event]:
        """Return the events for every difference between what a device sent and the state."""
        events: list[Event] = []
        known = pick(entries, sent)
        for key, incoming in sent.items():
            before = known.get(key)
            # most of a sync is what the server knows already
            if incoming != before:
                events += self.changes(self.key.named(key), before, incoming, user_id, now)
        return events

    def changes(
        self, key: Mapping[str, Any], known: S | None, sent: S, user_id: UUID, now: datetime
    ) -> list[Event]:
        """Return the events for what is new in a device's entry."""
        raise NotImplementedError

    def conflicts(self, entries: Mapping[str, S], sent: Mapping[str, S], now: datetime) -> Iterator[Conflict]:
        """Yield the entries that lost, given the state after the merge: those that differ from it, since it
        keeps the greater. The server's values are spelt as the device spells them."""
        for key, lost in sent.items():
            current = entries.get(key)
            if current is None or current == lost:
                continue
            rule = self.rule_against(lost, current, now)
            if rule is not None:
                client = self.to_entry(key, lost)
                shown = self.key.shown(client) if self.key.shown else key
                yield Conflict(shown, client, self.to_entry(key, self.spelt_as(current, lost)), rule)

    def rule_against(self, sent: S, current: S, now: datetime) -> str | None:
        """Return why a device's entry lost to the current state; None where both say the same."""
        raise NotImplementedError

    # retention and removal

    def is_gone(self, of: S, before: datetime) -> bool:
        """Whether the entry was turned off, or cleared, before that time."""
        return False

    def prune(self, entries: Mapping[str, S], before: datetime) -> dict[str, S]:
        """Return a copy without the entries that were gone before that time; it shares nothing that the fold
        changes."""
        return {key: one for key, one in entries.items() if not self.is_gone(one, before)}

    def feed_and_item(self, key: str, of: S) -> tuple[str | None, str | None]:
        """Return the feed and the item that an entry is about."""
        return self._feed(of) or self.key.named(key).get(FEED), self._item(of)

    def about(self, entries: Mapping[str, S]) -> Iterator[tuple[str | None, str | None]]:
        """Yield feed and item of every entry."""
        return (self.feed_and_item(key, of) for key, of in entries.items())

    def strip(self, entries: Mapping[str, S], covers: Covers) -> dict[str, S]:
        """Return a copy without the entries that are covered."""
        about = ((key, of, digests_of(*self.feed_and_item(key, of))) for key, of in entries.items())
        return {key: of for key, of, digests in about if not covers(*digests)}

    def strip_event(self, event: Event, covers: Covers) -> Event | None:
        """Return the event itself where nothing of it is covered, and None where nothing would be left of
        it."""
        carrier = self.carriers[type(event)]
        return None if covers(*digests_of(carrier.feed(event), carrier.item(event))) else event

    # episodes

    def keys_of_episode(self, entries: Mapping[str, S], key: str) -> list[str]:
        """Return the keys of the entries that concern an episode."""
        name = self.key.of_episode(key) if self.key.of_episode else None
        return [name] if name is not None and name in entries else []

    def join(self, entries: MutableMapping[str, S], known_key: str, key: str, item: str) -> None:
        """Merge what is known of an episode under one key into what is known under another, in place."""
        if self.key.of_episode is None:
            return
        of = entries.pop(self.key.of_episode(known_key), None)
        if of is not None:
            of = replace(of, **{self.item_field: item})
            name = self.key.of_episode(key)
            twin = entries.get(name)
            entries[name] = of if twin is None else self.merge(twin, of)

    @property
    def item_field(self) -> str:
        """The field of the state that holds the item."""
        return next(name for name, field in self.fields.items() if field.public == ITEM)

    def without_guid(self, entries: Mapping[str, S]) -> Iterator[Episode]:
        """Yield the episodes of which only an enclosure is known."""
        item_of = self._item
        for key, of in entries.items():
            item = item_of(of)
            # repeats the first test of ``has_guid``, whose call would take longer
            if item is not None and item.startswith(ITEM_WITHOUT_GUID) and not has_guid(item):
                feed, _ = self.feed_and_item(key, of)
                yield Episode(feed or "", item)

    def spelt_as(self, of: S, sent: S) -> S:
        """Return the state with its item spelt as the device spells it; the same object where there is no
        difference."""
        item = self._item(sent)
        return of if item is None or item == self._item(of) else replace(of, **{self.item_field: item})

    def spelt(self, entries: Mapping[str, S], sent: Mapping[str, S]) -> dict[str, S]:
        """Return the entries that a device spells differently, in its spelling."""
        both = ((key, of, lost) for key, lost in sent.items() if (of := entries.get(key)) is not None)
        spelt = ((key, of, self.spelt_as(of, lost)) for key, of, lost in both)
        return {key: one for key, of, one in spelt if one is not of}

    def size(self, entries: Mapping[str, S]) -> int:
        """Return how many entries there are."""
        return len(entries)

    # the history

    def happened_at(self, event: Event) -> datetime:
        return self.carriers[type(event)].happened_at(event)

    def in_effect(self, entries: Mapping[str, S], event: Event) -> InEffect | None:
        """Return whether an event holds; None where that cannot be determined, because what has been gone for
        long is forgotten."""
        decided = self.decided(entries, event)
        if decided is None:
            return None
        if not decided.holds and getattr(event, "claimed_at", None) is not None:
            return InEffect(False, "clock_ahead")
        is_tie = not decided.holds and self.happened_at(event) == decided.at
        return InEffect(decided.holds, decided.tie if is_tie else "later_wins")

    def decided(self, entries: Mapping[str, S], event: Event) -> Decided | None:
        of = entries.get(self.key.read(event))
        return None if of is None else self.decided_by(of, event)

    def decided_by(self, of: S, event: Event) -> Decided:
        raise NotImplementedError


def skewed_of(state: Any) -> times.Skewed:
    """Return the replaced client times of a state, which may be None."""
    return () if state is None else state.skewed
