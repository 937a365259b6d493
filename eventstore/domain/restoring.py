"""What listeners see of a register, part by part, and how an earlier part is restored.

Every register is a maximum over times, so an earlier state is restored by a new event that says the same. A
facet is a part that changes by itself: of a list, its existence, each of its header fields, its order and
each of its members; every other entry is one facet.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from eventstore.domain.fields import IS_UNDO
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.register import Register, replace
from eventstore.domain.registers import LastWriter, OnOff

# the names of facets that are not named after a header field; ``MEMBER`` is a prefix
WHOLE, ORDER, MEMBER = "", "order", "member "


class Facet(NamedTuple):
    """The value of a facet. ``shown``: what listeners see of it; ``of``: the state that says so, where that
    is needed to say it again."""

    shown: Any
    of: Any = None


class ListOrder(NamedTuple):
    """What a list held, in order, when the event with this ``number`` arrived: those of its ``keys`` that had
    not ``gone`` by an earlier event. Members that leave one after the other share ``keys`` and ``gone``, so
    that the order of a long list that is emptied is kept once."""

    keys: tuple[str, ...]
    gone: dict[str, int]
    number: int = 0

    def has(self, key: str) -> bool:
        return self._stays(key) and key in self.keys

    def before(self, key: str) -> Iterator[str]:
        """Yield the keys that were before a key, the nearest first; all keys where it was not there."""
        place = self.keys.index(key) if key in self.keys else len(self.keys)
        return (each for each in reversed(self.keys[:place]) if self._stays(each))

    def _stays(self, key: str) -> bool:
        return self.gone.get(key, self.number) >= self.number


def no_order() -> ListOrder:
    return ListOrder((), {})


class Target(NamedTuple):
    """What a facet is to become again; ``order``: the order of its list at that time."""

    facet: Facet
    order: ListOrder


class Place(NamedTuple):
    """Identifies an entry of a listener's state."""

    register: Register[Any]
    user_id: UUID
    key: str


Facets = dict[str, Facet]
ABSENT: Final = Facet((False,))


def can_restore(register: Register[Any]) -> bool:
    """Whether entries of a register can be restored: what apps did with their files cannot be undone."""
    return isinstance(register, OnOff) or (isinstance(register, LastWriter) and register.nothing is not None)


def facets(place: Place, of: Any) -> Facets:
    """Return what listeners see of an entry, which may be None."""
    register = place.register
    match register:
        case OrderedSet():
            return _facets_of_list(register, of or register.blank(place.user_id, place.key))
        case OnOff():
            return {WHOLE: _switch(register, of)}
        case LastWriter():
            assert register.nothing is not None
            nothing = tuple(register.nothing.get(name) for name in register.shown_fields)
            return {WHOLE: Facet(nothing if of is None else register.shown(of), of)}
    raise TypeError(type(register).__name__)


def facets_by(place: Place, of: Any, event: Event, *, after: Facets | None = None) -> Facets:
    """Return the facets that an event may change: as they are before it, or, where these are given as
    ``after``, as they are after it. The order is included only where it may change, and not where a member
    comes or goes, because long lists are filled and emptied one by one."""
    register = place.register
    if not isinstance(register, OrderedSet) or type(event) not in register.carriers:
        return facets(place, of)
    of = of or register.blank(place.user_id, place.key)
    members = register.members
    if type(event) not in members.carriers:
        return _facets_of_header(register, of)
    key = members.key.read(event)
    one = of.members.get(key)
    if one is None or not members.is_on(one):
        return {}
    found = {MEMBER + key: _switch(members, one)}
    if type(event) is members.on_event and register.is_known(of) and (after is None or ORDER in after):
        found[ORDER] = Facet(register.in_order(of))
    return found


def differing(before: Facets, after: Facets) -> Facets:
    """Return the facets that differ, as they were before. Where a list was created or deleted, that is the
    only one."""
    found = {}
    for name in before.keys() | after.keys():
        missing = ABSENT if name.startswith(MEMBER) else None
        was, now = before.get(name, missing), after.get(name, missing)
        if was is not None and now is not None and not is_same(name, was, now):
            found[name] = was
    return found


def is_resolved(place: Place, name: str, facet: Facet, of: Any, since: datetime) -> bool:
    """Whether a facet was decided after ``since``, so that nothing from before can have decided it."""
    register = place.register
    state = facet.of if name.startswith(MEMBER) else of
    if state is None:
        return False
    if isinstance(register, LastWriter):
        at = register.newest.at(state)
    elif isinstance(register, OrderedSet) and name.startswith(MEMBER):
        at = register.members.decided_at(state)
    elif isinstance(register, OrderedSet) and name != WHOLE:
        at = register.turned_on.at(state)
    else:
        assert isinstance(register, OnOff)
        at = register.decided_at(state)
    return at is not None and at > since


def values(place: Place, name: str, facet: Facet) -> dict[str, Any]:
    """Return a facet's values by their names."""
    register = place.register
    match register:
        case LastWriter():
            return dict(zip(register.shown_fields, facet.shown, strict=True))
        case OrderedSet() if name == WHOLE:
            return {"exists": facet.shown[0]}
        case OrderedSet() if name.startswith(MEMBER):
            return {"is_in": facet.shown[0]}
        case OrderedSet():
            return {name: facet.shown}
        case OnOff():
            names = [register.names.get(each, each) for each in _names(register)]
            return dict(zip(("is_on", *names), facet.shown, strict=False))
    raise TypeError(type(register).__name__)


def restore(place: Place, now: Any, targets: Mapping[str, Target], at: datetime) -> list[Event]:
    """Return the events that make these facets of an entry, whose state is ``now``, what they were.

    ``at``: a time after everything that is known of the entry.
    """
    register = place.register
    match register:
        case OrderedSet():
            return _restore_list(place, register, now, targets, at)
        case OnOff():
            return [_switched(place, register, now, targets[WHOLE].facet, at)]
        case LastWriter():
            return [_written(place, register, now, targets[WHOLE].facet, at)]
    raise TypeError(type(register).__name__)


def is_same(name: str, was: Facet, now: Facet) -> bool:
    """Whether both show the same."""
    if name != ORDER:
        return bool(was.shown == now.shown)
    # members that came or went do not change the order
    both = set(was.shown) & set(now.shown)
    return [key for key in was.shown if key in both] == [key for key in now.shown if key in both]


def _names(register: OnOff[Any]) -> list[str]:
    """Return the fields that listeners see besides the times."""
    return [field.name for field in register.turned_on.fields if "datetime" not in str(field.type)]


def _switch(register: OnOff[Any], of: Any) -> Facet:
    if of is None or not register.is_on(of):
        return Facet((False,), of)
    return Facet((True, *(getattr(of, name) for name in _names(register))), of)


def _facets_of_list(register: OrderedSet[Any, Any], of: Any) -> Facets:
    found = _facets_of_header(register, of)
    for key, one in of.members.items():
        if register.is_member(one):
            found[MEMBER + key] = _switch(register.members, one)
    return found


def _facets_of_header(register: OrderedSet[Any, Any], of: Any) -> Facets:
    found = {WHOLE: Facet((register.exists(of),))}
    # also for a deleted list, which comes back with these
    if register.is_known(of):
        found |= {name: Facet(getattr(of, name)) for name in register.called.names}
        found[ORDER] = Facet(register.in_order(of))
    return found


def _written(place: Place, register: LastWriter[Any], now: Any, facet: Facet, at: datetime) -> Event:
    assert register.nothing is not None
    was = facet.of
    restored = replace(now, **register.nothing) if was is None else was
    restored = replace(restored, **{register.time: at})
    event = register.carriers[register.event].make(
        place.user_id, register.key.named(place.key), restored, None
    )
    is_first = now is None or facets(place, now)[WHOLE].shown == facets(place, None)[WHOLE].shown
    # going from nothing to something counts as a new act, not as an undo
    is_marked = IS_UNDO in event.__struct_fields__ and not is_first
    return replace(event, **{IS_UNDO: True}) if is_marked else event


def _switched(
    place: Place, register: OnOff[Any], now: Any, facet: Facet, at: datetime, within: Mapping[str, Any] = {}
) -> Event:
    was = now if facet.of is None else facet.of
    is_on = facet.shown[0]
    restored = register.halves(was, at, at)[0 if is_on else 1]
    event = register.on_event if is_on else register.off_event
    named = {**register.key.named(place.key), **within}
    return register.carriers[event].make(place.user_id, named, restored, None)


def _restore_list(
    place: Place, register: OrderedSet[Any, Any], now: Any, targets: Mapping[str, Target], at: datetime
) -> list[Event]:
    named = register.key.named(place.key)
    if WHOLE in targets and not targets[WHOLE].facet.shown[0]:
        restored = replace(now, deleted_at=at)
        return [register.carriers[register.events.deleted].make(place.user_id, named, restored, None)]
    events, members = [], dict(now.members)
    for name, target in targets.items():
        if name.startswith(MEMBER):
            of_member = Place(register.members, place.user_id, name.removeprefix(MEMBER))
            known = members.get(of_member.key)
            event = _switched(of_member, register.members, known, target.facet, at, named)
            register.members.evolve(members, event)
            events.append(event)
    called = {name: target.facet.shown for name, target in targets.items() if name in register.called.names}
    restored = replace(now, members=members, updated_at=at, **called)
    order = _order(register, now, restored, targets)
    if not called and WHOLE not in targets and order is None:
        return events
    kind = register.events.updated if called or WHOLE in targets else register.events.reordered
    return [
        register.carriers[kind].make(place.user_id, named, replace(restored, order=order), None),
        *events,
    ]


def _order(
    register: OrderedSet[Any, Any], now: Any, restored: Any, targets: Mapping[str, Target]
) -> tuple[str, ...] | None:
    """Return the order that a list is to have; None where it has it already once its members are back."""
    current = register.in_order(restored)
    inside = set(current)
    order = [key for key in register.in_order(now) if key in inside]
    if ORDER in targets:
        order = _rearranged([key for key in targets[ORDER].facet.shown if key in inside], order)
    placed = set(order)
    for name, target in targets.items():
        key = name.removeprefix(MEMBER)
        if name.startswith(MEMBER) and key in inside and key not in placed:
            _insert(order, placed, key, target.order)
    order += [key for key in current if key not in placed]
    return None if tuple(order) == current else tuple(order)


def _rearranged(wanted: Sequence[str], current: Sequence[str]) -> list[str]:
    """Return the wanted order; each key that it does not name is put after those that it follows now."""
    order, placed, former = list(wanted), set(wanted), ListOrder(tuple(current), {})
    for key in current:
        if key not in placed:
            _insert(order, placed, key, former)
    return order


def _insert(order: list[str], placed: set[str], key: str, former: ListOrder) -> None:
    """Insert a key where it was in another order: after the nearest of its predecessors there that is in
    ``order``, or first. ``placed``: the keys in ``order``."""
    predecessor = next((each for each in former.before(key) if each in placed), None)
    order.insert(0 if predecessor is None else order.index(predecessor) + 1, key)
    placed.add(key)
