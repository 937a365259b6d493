"""Registers: what devices say of one thing, merged to the same result in whatever order it arrives.

``LastWriter``: the newest state counts as a whole (plays, privacy). ``OnOff``: one time turns it on, another
off, and the later decides; on equal times it is on (subscriptions, saved episodes, members of lists).
``ordered.OrderedSet``: a named list, made of an ``OnOff`` for itself and one for its members.

A topic declares the fields of its state: which of them belong to which time, and in which order they decide
where the times are equal. Everything else follows from that: merging, in the fold and in SQL
(projections/projectors/merging.py), what is new in a sync, conflicts, the entries of a device, and the
handling of wrong clocks.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import DEVICE, values_of
from eventstore.domain.messages import Event
from eventstore.domain.partial import pick
from eventstore.domain.register import Decided, Register, S, replace, skewed_of


class LastWriter(Register[S]):
    """A register whose newest state counts as a whole. ``by``: the fields that decide between two states of
    one time; ``shown``: the fields that a listener sees; ``cleared``: a field that is None where nothing is
    set any more; ``distinguishing``: the fields that, with the time, distinguish what devices send, where
    that is remembered (``facts``). ``nothing``: the field values with which an undo restores the absence of a
    state; None where there is no such state, and hence no undo."""

    def __init__(
        self,
        state: type[S],
        entry: type[msgspec.Struct],
        *,
        time: str,
        by: tuple[str, ...],
        shown: tuple[str, ...],
        events: Mapping[type[Event], Mapping[str, str]],
        cleared: str | None = None,
        distinguishing: tuple[str, ...] = (),
        nothing: Mapping[str, Any] | None = None,
        **declared: Any,
    ) -> None:
        super().__init__(state, entry, **declared)
        self.time = time
        self.nothing = {cleared: None} if nothing is None and cleared else nothing
        self.newest = self.group((time,), by)
        self.groups = (self.newest,)
        self.shown_fields = shown
        self.shown = values_of(shown)
        self.cleared = cleared
        self._distinguishing = values_of(distinguishing) if distinguishing else None
        for event, names in events.items():
            self.carry(event, time, names)
        # the event that carries the whole state, used in a sync
        self.event = next(iter(events))

    def at(self, of: S, event: type[Event], at: datetime) -> S:
        return replace(of, **{self.time: at})

    def merge(self, one: S, other: S) -> S:
        merged = super().merge(one, other)
        if self._distinguishing is None:
            return merged
        facts = times.remember_facts(facts_of(one), facts_of(other))
        return merged if facts == facts_of(merged) else replace(merged, facts=facts)

    def state_from(self, event: Any) -> S:
        carried = super().state_from(event)
        if self._distinguishing is None or getattr(event, DEVICE, None) is None:
            return carried
        return replace(carried, facts=(self.number(carried, event.claimed_at),))

    def states_from(self, events: Sequence[Any]) -> list[S]:
        states: list[S] = self.carriers[type(events[0])].states_of(events) if events else []
        has_facts = self._distinguishing is not None
        for place, event in enumerate(events):
            if event.claimed_at is not None or (has_facts and getattr(event, DEVICE, None) is not None):
                states[place] = self.state_from(event)
        return states

    def number(self, of: S, claimed: datetime | None = None) -> int:
        """Return a number that distinguishes this state from others that were sent of the same thing."""
        at = self.newest.at(of)
        assert at is not None
        assert self._distinguishing is not None
        return times.fact_number(at, self._distinguishing(of), claimed)

    def accept_other(self, known: S | None, order: Any, values: tuple[Any, ...]) -> times.AcceptedTime:
        """Return the accepted time of an order whose wrong client time is known already but which says
        something else, since two clocks may be wrong by the same amount. ``values``: those of the fields
        ``distinguishing``."""
        if known is None or order.at not in skewed_of(known) or getattr(order, DEVICE, None) is None:
            return times.NOTHING
        if times.is_remembered(facts_of(known), values, order.at):
            return times.NOTHING
        is_ahead = times.is_ahead(order.at, order.now)
        return times.AcceptedTime(order.now, order.at) if is_ahead else times.AcceptedTime(order.at)

    def is_repeat(self, known: S | None, incoming: S) -> bool:
        """Whether a device has sent the same before, even where something later counts now."""
        return known is not None and self.number(incoming) in facts_of(known)

    def is_before_memory(self, known: S | None, at: datetime) -> bool:
        """Whether something of that time may have been known and forgotten: as much is remembered as can be,
        and that time is not later than the oldest of it."""
        facts = () if known is None else facts_of(known)
        return len(facts) >= times.REMEMBERED and not times.is_after(at, facts[0])

    def has_same_values(self, one: S, other: S) -> bool:
        """Whether both say the same, regardless of when."""
        return self.shown(one) == self.shown(other)

    def changes(
        self, key: Mapping[str, Any], known: S | None, sent: S, user_id: UUID, now: datetime
    ) -> list[Event]:
        accepted = times.accept_client_time(self.newest.at(sent), skewed_of(known), now)
        if accepted.at is None:
            return []
        if accepted.skewed is not None:
            sent = self.at(sent, self.event, accepted.at)
        elif known is not None and not self.newest.exceeds(sent, known):
            return []
        return [self.carriers[self.event].make(user_id, key, sent, accepted.skewed)]

    def reconcile(
        self, entries: Mapping[str, S], sent: Mapping[str, S], user_id: UUID, now: datetime
    ) -> list[Event]:
        known = pick(entries, sent)
        latest = max(filter(None, map(self.newest.at, sent.values())), default=None)
        if known or self.key.fields or latest is None or times.is_ahead(latest, now):
            return super().reconcile(known, sent, user_id, now)
        # a first sync, with every time accepted as it is
        states = [one for one in sent.values() if self.newest.at(one) is not None]
        return self.carriers[self.event].make_all(states, user_id)

    def rule_against(self, sent: S, current: S, now: datetime) -> str | None:
        if self.has_same_values(sent, current):
            return None
        at = self.newest.at(sent)
        assert at is not None
        return times.deciding_rule(at, self.newest.at(current), skewed_of(current), now, self.tie)

    def is_gone(self, of: S, before: datetime) -> bool:
        if self.cleared is None or getattr(of, self.cleared) is not None:
            return False
        at = self.newest.at(of)
        return at is not None and at < before

    def decided_by(self, of: S, event: Event) -> Decided:
        carried, at = self.state_from(event), self.newest.at(of)
        holds = self.has_same_values(carried, of) and self.newest.at(carried) == at
        return Decided(holds, at, self.tie)


class OnOff(Register[S]):
    """A register that is turned on at one time and off at another. The fields ``with_on`` belong to the time
    of turning on, ``with_latest`` to the later of the two times. ``events``: the one that turns it on, and
    the one that turns it off."""

    def __init__(
        self,
        state: type[S],
        entry: type[msgspec.Struct],
        *,
        on: str,
        off: str,
        events: tuple[type[Event], type[Event]],
        with_on: tuple[str, ...] = (),
        with_latest: tuple[str, ...] = (),
        **declared: Any,
    ) -> None:
        super().__init__(state, entry, **declared)
        self.on, self.off = on, off
        self.on_event, self.off_event = events
        self.turned_on, self.turned_off = self.group((on,), with_on), self.group((off,))
        self.beside_times = (*with_on, *with_latest)
        latest = (self.group((on, off), with_latest),) if with_latest else ()
        self.groups = (self.turned_on, self.turned_off, *latest)
        self._off_alone = dict.fromkeys((on, *with_on))
        self.carry(self.on_event, on)
        self.carry(self.off_event, off)

    def is_on(self, of: S) -> bool:
        on, off = self.turned_on.at(of), self.turned_off.at(of)
        return on is not None and (off is None or on >= off)

    def decided_at(self, of: S) -> datetime | None:
        """Return the time that decided whether it is on."""
        return times.later(self.turned_on.at(of), self.turned_off.at(of))

    def at(self, of: S, event: type[Event], at: datetime) -> S:
        return replace(of, **{self.on if event is self.on_event else self.off: at})

    def halves(self, sent: S, on: datetime | None, off: datetime | None) -> tuple[S, S]:
        """Return what a state says of turning on, and what it says of turning off."""
        return replace(sent, **{self.on: on, self.off: None}), replace(
            sent, **{**self._off_alone, self.off: off}
        )

    def changes(
        self, key: Mapping[str, Any], known: S | None, sent: S, user_id: UUID, now: datetime
    ) -> list[Event]:
        on, off = times.accept_both(self.turned_on.at(sent), self.turned_off.at(sent), skewed_of(known), now)
        events = []
        for event, accepted, incoming in zip(
            (self.on_event, self.off_event), (on, off), self.halves(sent, on.at, off.at), strict=True
        ):
            if accepted.at is not None and (accepted.skewed or self.is_news(known, incoming)):
                events.append(self.carriers[event].make(user_id, key, incoming, accepted.skewed))
        return events

    def rule_against(self, sent: S, current: S, now: datetime) -> str | None:
        at = self.decided_at(sent)
        if at is None or self.is_on(sent) is self.is_on(current):
            return None
        return times.deciding_rule(at, self.decided_at(current), skewed_of(current), now, self.tie)

    def is_gone(self, of: S, before: datetime) -> bool:
        off = self.turned_off.at(of)
        return off is not None and not self.is_on(of) and off < before

    def decided_by(self, of: S, event: Event) -> Decided:
        decided_at = self.decided_at(of)
        agrees = self.is_on(of) is (type(event) is self.on_event)
        return Decided(agrees and decided_at == self.happened_at(event), decided_at, self.tie)


def facts_of(state: Any) -> times.Facts:
    """Return the facts of a state: numbers for what devices are known to have sent of it."""
    return state.facts  # type: ignore[no-any-return]
