"""Ordered sets: named lists whose members are added and removed, in an order that somebody chose.

The list itself (a playlist, a collection) is an ``OnOff`` register: its name, its other header fields and its
order go by the later ``updated_at``, and it exists while that is not before ``deleted_at``. Each member is an
``OnOff`` of its own, by ``added_at`` and ``removed_at``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import Field, Key
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import Episode
from eventstore.domain.register import Covers, Decided, replace, skewed_of
from eventstore.domain.registers import OnOff
from eventstore.domain.times import NEVER


class ListHeader(msgspec.Struct, omit_defaults=True):
    """The state of a playlist or a collection; the fold changes it in place."""

    name: str
    updated_at: datetime
    description: str | None = None
    is_public: bool = False
    deleted_at: datetime | None = None
    order: tuple[str, ...] = ()
    skewed: times.Skewed = ()
    members: dict[str, Any] = {}


L = TypeVar("L", bound=ListHeader)
M = TypeVar("M", bound=msgspec.Struct)


class Commands(NamedTuple):
    create: type[Command]
    update: type[Command]
    delete: type[Command]
    add: type[Command]
    remove: type[Command]
    reorder: type[Command]


class Events(NamedTuple):
    """The events of a list itself; except for the order and the deletion, each of them gives all other fields
    of the list, so that it does not depend on the others."""

    created: type[Event]
    updated: type[Event]
    visibility_changed: type[Event]
    reordered: type[Event]
    deleted: type[Event]


class Words(NamedTuple):
    """What errors call a list (``noun``) and a member (``member`` in codes, ``shown`` in details)."""

    noun: str
    member: str
    shown: str


class OrderedSet(OnOff[L], Generic[L, M]):
    """A named list with members. ``called``: its header fields, in the order in which they decide between two
    states of one time; the order of the members decides last. ``members``: the register of the members;
    ``plural``: what entries and commands call them; a command names a single one by ``words.member``."""

    members: OnOff[M]
    value_tie: ClassVar[str] = "greater_value_wins_a_tie"

    def __init__(
        self,
        state: type[L],
        entry: type[msgspec.Struct],
        *,
        key: str,
        called: tuple[str, ...],
        members: OnOff[M],
        plural: str,
        commands: Commands,
        events: Events,
        words: Words,
    ) -> None:
        super().__init__(
            state,
            entry,
            key=Key(key, (key,), lambda of: str(getattr(of, key)), lambda text: {key: UUID(text)}),
            on="updated_at",
            off="deleted_at",
            with_on=(*called, "order"),
            events=(events.updated, events.deleted),
            tie="existing_wins_a_tie",
        )
        for event in (events.created, events.visibility_changed, events.reordered):
            self.carry(event, "updated_at")
        self.members, self.plural, self.words = members, plural, words
        self.commands, self.events = commands, events
        self.called = self.group((), called)
        self.carriers |= members.carriers
        self._listed = attrgetter(plural)
        self.decisions: dict[type[Command], Callable[[L | None, Any], list[Event]]] = {
            commands.create: self.create,
            commands.update: lambda known, command: self.update(self.existing(known), command),
            commands.delete: self.delete,
            commands.add: lambda known, command: self.add(self.existing(known), command),
            commands.remove: lambda known, command: self.remove(self.existing(known), command),
            commands.reorder: lambda known, command: self.reorder(self.existing(known), command),
        }

    def blank(self, user_id: UUID, key: str) -> L:
        """Return a list of which nothing was said yet. It is seen only where a member or a deletion arrives
        before the list."""
        return self.state(name="", updated_at=NEVER)

    def is_known(self, of: L) -> bool:
        """Whether anything was said of the list itself, and not of its members alone."""
        return of.updated_at != NEVER or of.deleted_at is not None

    def is_member(self, of: M) -> bool:
        return self.members.is_on(of)

    def arranged(self, of: L) -> list[str]:
        """Return the keys of the members in order; those added since the order was chosen come last, by their
        times. Those of one time, which a wrong clock can cause, are sorted by their digests, as in the read
        tables."""
        here = {key: one.added_at for key, one in of.members.items() if self.is_member(one)}
        first = [key for key in of.order if key in here]
        placed = set(first)
        digest = self.members.key.digest
        since = sorted((at, digest(key), key) for key, at in here.items() if key not in placed)
        return [*first, *(key for _, _, key in since)]

    def exists(self, of: L) -> bool:
        """Whether the listener has this list."""
        return self.is_known(of) and self.is_on(of)

    def in_order(self, of: L) -> tuple[str, ...]:
        """Return the keys of what a list holds, in order."""
        return tuple(self.arranged(of))

    # the fold

    def merge(self, one: L, other: L) -> L:
        members = dict(one.members)
        for key, of in other.members.items():
            members[key] = self.members.merge(members[key], of) if key in members else of
        return replace(super().merge(one, other), members=members)

    def evolve(self, entries: MutableMapping[str, L], event: Event) -> None:
        key = self.key.read(event)
        known = entries.get(key) or self.blank(event.user_id, key)
        if type(event) in self.members.carriers:
            self.members.evolve(known.members, event)
        else:
            self._fold(known, event)
        entries[key] = known

    def _fold(self, known: Any, event: Any) -> None:
        carrier = self.carriers[type(event)]
        if carrier.is_skewable and event.claimed_at is not None:
            known.skewed = times.remember(known.skewed, event.claimed_at)
        if type(event) is self.off_event:
            known.deleted_at = times.later(known.deleted_at, carrier.happened_at(event))
            return
        carried = replace(known, **self._carried(event))
        if self.turned_on.exceeds(carried, known):
            for name, value in self.turned_on.taken(carried).items():
                setattr(known, name, value)

    def _carried(self, event: Event) -> dict[str, Any]:
        """Return the fields that an event sets; an order of None is left out, since it stays as it was."""
        carried = self.carriers[type(event)].partial(event)
        if type(event) is self.events.created:
            # an order from before a deletion, or from an event of equal time, is not that of the new list
            carried["order"] = ()
        elif carried.get("order", ()) is None:
            del carried["order"]
        return carried

    # deciding

    def keys(self, command: Any) -> tuple[str, ...]:
        return (self.key.read(command),)

    def decide(self, entries: Mapping[str, L], command: Any) -> list[Event]:
        """Decide a command. Raises ``DomainError`` ``<noun>_not_found``, ``<noun>_exists`` (another list has
        this id) and ``<member>_not_in_<noun>`` (it never was in it)."""
        return self.decisions[type(command)](entries.get(self.key.read(command)), command)

    def existing(self, known: L | None) -> L:
        if known is None or not self.is_on(known):
            raise DomainError(f"{self.words.noun}_not_found", f"You have no such {self.words.noun}.")
        return known

    def create(self, known: L | None, command: Any) -> list[Event]:
        values = {
            name: (value or None) if field.is_nullable_text else value
            for name, field in self._called_fields()
            for value in (getattr(command, name),)
        }
        if known is not None and self.is_on(known):
            if all(getattr(known, name) == value for name, value in values.items()):
                return []
            raise DomainError(f"{self.words.noun}_exists", f"You have another {self.words.noun} of this id.")
        blank = self.blank(command.user_id, self.key.read(command))
        return [self._changed(self.events.created, known, replace(blank, **values), command)]

    def update(self, known: L, command: Any) -> list[Event]:
        """Change the fields that the command names and leave the others; an empty text removes the old
        one."""
        changes = {}
        for name, field in self._called_fields():
            value = getattr(command, name)
            if value is None:
                continue
            value = (value or None) if field.is_nullable_text else value
            if value != getattr(known, name):
                changes[name] = value
        if not changes:
            return []
        shown = set(changes) == {"is_public"}
        event = self.events.visibility_changed if shown else self.events.updated
        # an update says nothing of the order
        return [self._changed(event, known, replace(known, **changes), command, order=None)]

    def delete(self, known: L | None, command: Any) -> list[Event]:
        if known is not None and not self.is_on(known):
            return []
        known = self.existing(known)
        return [self._changed(self.events.deleted, known, known, command)]

    def add(self, known: L, command: Any) -> list[Event]:
        key = self.member_named(known, command)
        member = known.members.get(key)
        values = {name: getattr(command, name) or None for name in self.members.beside_times}
        is_in = command.at is None and member is not None and self.is_member(member)
        if is_in and all(value in (None, getattr(member, name)) for name, value in values.items()):
            return []
        return self._write_member(key, member, self.members.state(**values), self.members.on_event, command)

    def remove(self, known: L, command: Any) -> list[Event]:
        key = self.member_named(known, command)
        member = known.members.get(key)
        if member is None:
            detail = f"This {self.words.shown} is not in the {self.words.noun}."
            raise DomainError(self._not_in, detail)
        if command.at is None and not self.is_member(member):
            return []
        _, removed = self.members.halves(member, None, None)
        return self._write_member(key, member, removed, self.members.off_event, command)

    def reorder(self, known: L, command: Any) -> list[Event]:
        asked = dict.fromkeys(self.members_named(known, command))
        if any(key not in known.members for key in asked):
            detail = f"Not all of these {self.words.shown}s are in the {self.words.noun}."
            raise DomainError(self._not_in, detail)
        # a member that was removed meanwhile has no place any more
        order = tuple(key for key in asked if self.is_member(known.members[key]))
        return self.put_in_order(known, order, command)

    def put_in_order(self, known: L, order: tuple[str, ...], command: Any) -> list[Event]:
        if order == known.order:
            return []
        return [self._changed(self.events.reordered, known, known, command, order=order)]

    @property
    def _not_in(self) -> str:
        return f"{self.words.member}_not_in_{self.words.noun}"

    def _called_fields(self) -> Iterator[tuple[str, Field]]:
        return zip(self.called.names, self.called.fields, strict=True)

    def _changed(self, event: type[Event], known: L | None, new: L, command: Any, **more: Any) -> Event:
        """Return the event of a change that is made to a list at the server; its time is after everything
        that is known of the list."""
        known_times = (known.updated_at, known.deleted_at) if known else ()
        at = times.after_all(command.now, *known_times)
        new = replace(new, **{self.off if event is self.off_event else self.on: at}, **more)
        return self.carriers[event].make(command.user_id, self.key.named(self.key.read(command)), new, None)

    def member_named(self, of: L, command: Any) -> str:
        """Return the key of the member that a command names."""
        name: str = getattr(command, self.words.member)
        return name

    def members_named(self, of: L, command: Any) -> Iterable[str]:
        """Return the keys of the members that a command names."""
        names: Iterable[str] = self._listed(command)
        return names

    def _write_member(
        self, key: str, member: M | None, new: M, event: type[Event], command: Any
    ) -> list[Event]:
        within = getattr(command, self.key.column)
        return self.members.write(member, new, event, command, key, within)

    # syncs

    def key_of_entry(self, entry: Any) -> str:
        return str(entry.id)

    def from_entry(self, entry: Any, user_id: UUID) -> L:
        sent: Any = super().from_entry(entry, user_id)
        # a member without any time says nothing
        listed = [one for one in self._listed(entry) if one.added_at or one.removed_at]
        read = self.members.key.read
        placed = sorted((one.position, read(one)) for one in listed if one.position is not None)
        sent.order = tuple(dict.fromkeys(key for _, key in placed))
        sent.members = self.members.merge_payload(listed, user_id)
        return sent  # type: ignore[no-any-return]

    def to_entry(self, key: str, state: Any, **more: Any) -> Any:
        """Return the list as a device would send it; the members that are in it come first, in their
        order."""
        places = {name: place for place, name in enumerate(state.order)}
        here = self.arranged(state)
        shown = [*here, *sorted(state.members.keys() - set(here))]
        members = [
            self.members.to_entry(name, state.members[name], position=places.get(name)) for name in shown
        ]
        return self._to_entry(state, id=UUID(key), **{self.plural: members})

    def changes(
        self, key: Mapping[str, Any], known: L | None, sent: L, user_id: UUID, now: datetime
    ) -> list[Event]:
        events = self._changes(key, known, sent, user_id, now)
        for member, one in sent.members.items():
            at_hand = known.members.get(member) if known else None
            named = {**key, **self.members.key.named(member)}
            events += self.members.changes(named, at_hand, one, user_id, now)
        return events

    def _changes(
        self, key: Mapping[str, Any], known: L | None, sent: L, user_id: UUID, now: datetime
    ) -> list[Event]:
        """Return the events for what is new in what a device says of the list itself."""
        current = known or self.blank(user_id, str(key[self.key.column]))
        on, off = times.accept_both(sent.updated_at, sent.deleted_at, current.skewed, now)
        events = []
        incoming = sent if on.at is None else replace(sent, updated_at=on.at)
        if on.at is not None and (on.skewed or self.turned_on.exceeds(incoming, current)):
            kinds = [] if known else [self.events.created]
            if known or incoming.order:
                kinds.append(self.events.updated)
            events += [self.carriers[kind].make(user_id, key, incoming, on.skewed) for kind in kinds]
        if off.at is not None and (
            off.skewed or times.later(current.deleted_at, off.at) != current.deleted_at
        ):
            incoming = replace(sent, deleted_at=off.at)
            events.append(self.carriers[self.events.deleted].make(user_id, key, incoming, off.skewed))
        return events

    def rule_against(self, sent: L, current: L, now: datetime) -> str | None:
        """Return the rule for the list itself, or for the first of its members that lost."""
        rule = super().rule_against(sent, current, now)
        if rule is not None or not self.is_on(current):
            return rule
        if self.turned_on.ranks(sent) != self.turned_on.ranks(current):
            at, decided_at, skewed = sent.updated_at, current.updated_at, skewed_of(current)
            return times.deciding_rule(at, decided_at, skewed, now, self.value_tie)
        both = sent.members.keys() & current.members
        of_members = ((one, current.members[key]) for key, one in sent.members.items() if key in both)
        rules = (self.members.rule_against(one, kept, now) for one, kept in of_members)
        return next(filter(None, rules), None)

    # retention and removal

    def prune(self, entries: Mapping[str, L], before: datetime) -> dict[str, L]:
        kept = {}
        for key, of in super().prune(entries, before).items():
            members = self.members.prune(of.members, before)
            gone = of.members.keys() - members.keys()
            order = tuple(name for name in of.order if name not in gone)
            kept[key] = replace(of, order=order, members=members)
        return kept

    def about(self, entries: Mapping[str, L]) -> Iterator[tuple[str | None, str | None]]:
        for of in entries.values():
            yield from self.members.about(of.members)

    def strip(self, entries: Mapping[str, L], covers: Covers) -> dict[str, L]:
        return {
            key: replace(
                of, order=self._stripped(of.order, covers), members=self.members.strip(of.members, covers)
            )
            for key, of in entries.items()
        }

    def strip_event(self, event: Event, covers: Covers) -> Event | None:
        stripped = super().strip_event(event, covers)
        order = getattr(event, "order", None)
        if stripped is None or not order:
            return stripped
        left = self._stripped(order, covers)
        return event if left == order else replace(event, order=left)

    def _stripped(self, order: tuple[str, ...], covers: Covers) -> tuple[str, ...]:
        digest, is_episode = self.members.key.digest, self.members.key.of_episode is not None
        digests = ((key, digest(key)) for key in order)
        return tuple(
            key for key, of in digests if not covers(None if is_episode else of, of if is_episode else None)
        )

    # episodes

    def keys_of_episode(self, entries: Mapping[str, L], key: str) -> list[str]:
        return [name for name, of in entries.items() if self.members.keys_of_episode(of.members, key)]

    def join(self, entries: MutableMapping[str, L], known_key: str, key: str, item: str) -> None:
        for name, of in list(entries.items()):
            if known_key in of.members or known_key in of.order:
                self.members.join(of.members, known_key, key, item)
                of.order = tuple(dict.fromkeys(key if one == known_key else one for one in of.order))
                entries[name] = of

    def without_guid(self, entries: Mapping[str, L]) -> Iterator[Episode]:
        for of in entries.values():
            yield from self.members.without_guid(of.members)

    def spelt_as(self, of: L, sent: L) -> L:
        spelt = self.members.spelt(of.members, sent.members)
        return replace(of, members=of.members | spelt) if spelt else of

    def size(self, entries: Mapping[str, L]) -> int:
        return len(entries) + sum(len(of.members) for of in entries.values())

    # the history

    def decided(self, entries: Mapping[str, L], event: Event) -> Decided | None:
        of = entries.get(self.key.read(event))
        if of is None:
            return None
        if type(event) in self.members.carriers:
            return self.members.decided(of.members, event)
        if type(event) is self.off_event:
            return self.decided_by(of, event)
        # compares only what the event says: a list that was only reordered since still has its name
        carried = self.carriers[type(event)].partial(event)
        if carried.get("order", ()) is None:
            del carried["order"]
        agrees = all(carried.get(name, ...) in (..., getattr(of, name)) for name in self.turned_on.names)
        return Decided(self.is_on(of) and agrees, self.decided_at(of), self.value_tie)
