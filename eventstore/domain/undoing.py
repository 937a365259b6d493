"""Undoing: restores what was there before some events, as far as nothing that others did later builds on
them.

The state before an event is the fold up to it. What the events changed is examined facet by facet
(restoring.py), from the newest change backwards, for as long as the changes are among those to be undone.
Pure, as the topics are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.devices import DeviceRegistered
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.fields import DEVICE
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.partial import pick
from eventstore.domain.restoring import (
    ABSENT,
    MEMBER,
    ORDER,
    WHOLE,
    Facet,
    Facets,
    ListOrder,
    Place,
    Target,
    can_restore,
    differing,
    facets,
    facets_by,
    is_resolved,
    is_same,
    no_order,
    restore,
    values,
)
from eventstore.domain.subscriptions import UserUnsubscribed
from eventstore.domain.topic import Topic
from eventstore.domain.topics import OF_EVENT, TOPICS, User
from eventstore.domain.user import evolve

Reason: TypeAlias = Literal["later_changes", "too_old", "nothing_to_undo", "not_undoable"]
DETAILS: Final[Mapping[Reason, str]] = {
    "later_changes": "Something that came later builds on it.",
    "too_old": "What stood before is not kept any more, event by event.",
    "nothing_to_undo": "Everything is as it was before already.",
    "not_undoable": "This is no change that could be taken back.",
}


class PastEvent(NamedTuple):
    """An event of a history; ``is_chosen``: whether it is to be undone."""

    event: Event
    is_chosen: bool


class Part(NamedTuple):
    """A facet of an entry."""

    topic: str
    key: str
    name: str


class Change(NamedTuple):
    """A facet that an undo changes, as it is ``now`` and as it will be ``then``. ``undone``: the numbers of
    the events that this undoes, the oldest first; ``of``: the entry as it is."""

    part: Part
    place: Place
    now: Facet
    then: Facet
    of: Any
    undone: tuple[int, ...]

    @property
    def facet_name(self) -> str | None:
        """The part of a list: a field, ``order`` or ``member``; None for a whole entry."""
        name = self.part.name
        return "member" if name.startswith(MEMBER) else name or None

    @property
    def subject(self) -> tuple[str | None, str | None]:
        """Feed and item that the change is about."""
        register, key, of = self.place.register, self.part.key, self.of
        if isinstance(register, OrderedSet):
            key = self.part.name.removeprefix(MEMBER)
            of = of.members.get(key) if self.facet_name == "member" else None
            register = register.members
        return (None, None) if of is None else register.feed_and_item(key, of)

    @property
    def device(self) -> str | None:
        """The device that the change is about, where the entry belongs to one."""
        named = self.place.register.key.named(self.part.key)
        found: str | None = named.get(DEVICE, getattr(self.of, DEVICE, None))
        return found

    def values(self, facet: Facet) -> dict[str, Any]:
        """Return the values of ``now`` or ``then`` by their names."""
        return values(self.place, self.part.name, facet)


class Skipped(NamedTuple):
    """An event that is not undone, and why; ``later``: the numbers of the events that build on it."""

    number: int
    reason: Reason
    later: tuple[int, ...] = ()


class Restored(NamedTuple):
    """An event of the undo, and the numbers of the events that it undoes."""

    event: Event
    undone: tuple[int, ...]


class Plan(NamedTuple):
    """What an undo would do; ``events`` are those to be recorded for it."""

    changes: list[Change]
    skipped: list[Skipped]
    events: list[Restored]

    def refusal(self, *, is_one: bool) -> Reason | None:
        """Return why the undo is refused: for a single event, whatever prevents it; otherwise only that there
        is nothing to undo."""
        if is_one and self.skipped:
            return self.skipped[0].reason
        return None if self.changes or self.skipped else "nothing_to_undo"


class _Step(NamedTuple):
    """A change of a facet by the event with this number. ``order``: the order of its list before the
    event."""

    number: int
    is_chosen: bool
    before: Facet
    order: ListOrder
    is_known: bool


class _Judged(NamedTuple):
    """What becomes of a facet: what it is to become again, if anything, the events that this undoes, and
    those that are skipped."""

    target: Target | None
    undone: tuple[int, ...]
    skipped: list[Skipped]


_Steps: TypeAlias = dict[Part, list[_Step]]
_Entry: TypeAlias = tuple[str, str]
_All: TypeAlias = dict[_Entry, dict[Part, _Judged]]
_NOT_TO_BE: Final = _Judged(None, (), [])


def is_change(event: Event) -> bool:
    """Whether an event may have changed something that can be changed back, for callers that offer an undo
    before they know the earlier state."""
    if isinstance(event, DeviceRegistered):
        return event.first_seen in (None, event.registered_at)
    is_for_good = getattr(event, "is_default", False) or getattr(event, "kind", None) == "queue"
    return _topic_of(event) is not None and not is_for_good


def plan(history: Sequence[PastEvent], user: User, since: datetime | None, now: datetime) -> Plan:
    """Plan how to undo the chosen events of a history that leads to the state ``user``.

    ``since``: where the history is incomplete, a time after everything that is missing at its beginning.
    """
    places = dict(_places(history, user.user_id))
    steps = _steps(history, places, since)
    at_hand = {
        topic.name: pick(getattr(user, topic.name), [key for name, key in places if name == topic.name])
        for topic in TOPICS
    }
    judged: _All = {
        name: _judge_entry(place, at_hand[name[0]].get(name[1]), steps.get(name, {}))
        for name, place in places.items()
    }
    _leave_out_unfollowed(judged, history, user)
    changes: list[Change] = []
    events: list[Restored] = []
    chosen = [(number, event) for number, (event, is_chosen) in enumerate(history) if is_chosen]
    skipped = [Skipped(number, "not_undoable") for number, event in chosen if not _topic_of(event)]
    for (topic, key), place in places.items():
        found, of_entry = at_hand[topic].get(key), judged[topic, key]
        skipped += (one for each in of_entry.values() for one in each.skipped)
        wanted = {part: one for part, one in of_entry.items() if one.target is not None}
        restored = list(_restored(place, found, wanted, now))
        if all(getattr(one.event, "order", None) is None for one in restored):
            # the members that stay or come back are in that order anyway
            wanted = {part: one for part, one in wanted.items() if part.name != ORDER}
        changes += _changes(place, found, wanted)
        events += restored
    # a setting that hides something takes effect before what it hides is shown
    events.sort(key=lambda one: not OF_EVENT[type(one.event)].first)
    return Plan(changes, _once(skipped), events)


def _changes(place: Place, of: Any, wanted: Mapping[Part, _Judged]) -> Iterator[Change]:
    now = facets(place, of)
    for part, one in wanted.items():
        assert one.target is not None
        yield Change(part, place, now.get(part.name, ABSENT), one.target.facet, of, one.undone)


def _leave_out_unfollowed(judged: _All, history: Sequence[PastEvent], user: User) -> None:
    """Let no podcast come back into a collection where an event that is not undone has unfollowed it since.
    Changes ``judged`` in place."""
    for (topic, _), parts in judged.items():
        for part, one in parts.items() if topic == "collections" else ():
            feed = part.name.removeprefix(MEMBER)
            if one.target is None or feed == part.name or not one.target.facet.shown[0]:
                continue
            known = user.subscriptions.get(feed)
            left = tuple(_unfollowing(history, feed, one.undone[0]))
            if left and not (known and known.active):
                refused = [Skipped(number, "later_changes", left[-1:]) for number in one.undone]
                parts[part] = _Judged(None, (), [*one.skipped, *refused])


def _unfollowing(history: Sequence[PastEvent], feed: str, after: int) -> Iterator[int]:
    """Yield the numbers of the events that unfollow a feed and are not to be undone."""
    for number, (event, is_chosen) in enumerate(history[after:], after):
        if isinstance(event, UserUnsubscribed) and event.rss_source_feed == feed and not is_chosen:
            yield number


def _places(history: Sequence[PastEvent], user_id: UUID) -> Iterator[tuple[_Entry, Place]]:
    """Yield the entries that the chosen events are about."""
    for event, is_chosen in history:
        topic = _topic_of(event) if is_chosen else None
        if topic is not None:
            key = topic.register.key.read(event)
            yield (topic.name, key), Place(topic.register, user_id, key)


def _topic_of(event: Event) -> Topic | None:
    """Return the topic of an event that can be undone, or None."""
    topic = OF_EVENT.get(type(event))
    if topic is None or type(event) in topic.not_state or not can_restore(topic.register):
        return None
    return topic


def _steps(
    history: Sequence[PastEvent], places: Mapping[_Entry, Place], since: datetime | None
) -> dict[_Entry, _Steps]:
    """Return what each event changed of these entries, in order."""
    user = User(next(iter(places.values())).user_id) if places else None
    topics = {topic for topic, _ in places}
    steps: dict[_Entry, _Steps] = {}
    leaving = _Leaving()
    for number, (event, is_chosen) in enumerate(history):
        if user is None:
            break
        if isinstance(event, UserCheckpoint):
            evolve(user, event)
            since, leaving = None, _Leaving()
            continue
        touched = list(_touched(event, topics, places))
        if not touched and not isinstance(event, EpisodeIdentified):
            continue
        before = [_seen(user, topic, place, event) for topic, place in touched]
        orders = [
            leaving.order(place, *seen, event) for (_, place), seen in zip(touched, before, strict=True)
        ]
        evolve(user, event)
        for (topic, place), (was, of), order in zip(touched, before, orders, strict=True):
            now = facets_by(place, getattr(user, topic).get(place.key), event, after=was)
            for name, facet in differing(was, now).items():
                is_known = since is None or is_resolved(place, name, facet, of, since)
                step = _Step(number, is_chosen, facet, order._replace(number=number), is_known)
                order.gone.setdefault(name.removeprefix(MEMBER), number)
                entry = steps.setdefault((topic, place.key), {})
                entry.setdefault(Part(topic, place.key, name), []).append(step)
    return steps


class _Leaving:
    """The orders of lists, each computed once for all members that leave it one after the other."""

    def __init__(self) -> None:
        self._orders: dict[str, ListOrder] = {}

    def order(self, place: Place, was: Facets, of: Any, event: Event) -> ListOrder:
        """Return the order of a list before an event, where the member that it changes may have to go back to
        its place."""
        register = place.register
        if not isinstance(register, OrderedSet) or type(event) is not register.members.off_event:
            self._orders.pop(place.key, None)
            return ListOrder(was[ORDER].shown, {}) if ORDER in was else no_order()
        if place.key not in self._orders:
            is_known = of is not None and register.is_known(of)
            self._orders[place.key] = ListOrder(register.in_order(of) if is_known else (), {})
        return self._orders[place.key]


def _seen(user: User, topic: str, place: Place, event: Event) -> tuple[Facets, Any]:
    """Return what listeners see of an entry, as far as an event may change it, and the state that holds its
    times."""
    of = getattr(user, topic).get(place.key)
    found = facets_by(place, of, event)
    # a copy, because the fold changes lists in place
    return found, msgspec.structs.replace(of) if isinstance(place.register, OrderedSet) and of else of


def _touched(
    event: Event, topics: Iterable[str], places: Mapping[_Entry, Place]
) -> Iterator[tuple[str, Place]]:
    if isinstance(event, EpisodeIdentified):
        for topic in TOPICS:
            if topic.name in topics:
                yield from ((topic.name, place) for place in _identified(event, topic, places))
        return
    of = OF_EVENT.get(type(event))
    if of is not None and of.name in topics and type(event) not in of.not_state:
        name = of.name, of.register.key.read(event)
        if name in places:
            yield of.name, places[name]


def _identified(event: EpisodeIdentified, topic: Topic, places: Mapping[_Entry, Place]) -> Iterator[Place]:
    """Yield the entries that may hold an episode which is known by another name from now on; of lists,
    all."""
    if isinstance(topic.register, OrderedSet):
        yield from (place for (name, _), place in places.items() if name == topic.name)
    elif (of_episode := topic.register.key.of_episode) is not None:
        names = dict.fromkeys((topic.name, of_episode(key)) for key in (event.known_key, event.key))
        yield from (places[name] for name in names if name in places)


def _judge_entry(place: Place, of: Any, steps: _Steps) -> dict[Part, _Judged]:
    """Return what becomes of each facet of an entry that a chosen event changed."""
    now = facets(place, of)
    judged = {
        part: _judge(part.name, now.get(part.name, ABSENT), changes)
        for part, changes in steps.items()
        if any(step.is_chosen for step in changes)
    }
    if not isinstance(place.register, OrderedSet):
        return judged
    return _judge_list(now, judged, steps)


def _judge(name: str, now: Facet, steps: Sequence[_Step]) -> _Judged:
    chosen = [step for step in steps if step.is_chosen]
    if _is_now(name, chosen[0].before, now):
        return _NOT_TO_BE
    last = next((n for n, step in enumerate(reversed(steps)) if not step.is_chosen), len(steps))
    run = steps[len(steps) - last :]
    skipped = []
    for number, step in enumerate(steps[: len(steps) - last]):
        if step.is_chosen:
            later = tuple(each.number for each in steps[number:] if not each.is_chosen)
            skipped.append(Skipped(step.number, "later_changes", later))
    if run and not run[0].is_known:
        return _Judged(None, (), [*skipped, *(Skipped(step.number, "too_old") for step in run)])
    if not run or _is_now(name, run[0].before, now):
        return _Judged(None, (), skipped)
    return _Judged(Target(run[0].before, run[0].order), tuple(step.number for step in run), skipped)


def _is_now(name: str, before: Facet, now: Facet) -> bool:
    """Whether a facet is what it was before. An order is compared only where all of its members are there,
    since some may come back by the same undo."""
    is_whole = name != ORDER or set(before.shown) <= set(now.shown)
    return is_whole and is_same(name, before, now)


def _judge_list(now: Facets, judged: dict[Part, _Judged], steps: _Steps) -> dict[Part, _Judged]:
    """Judge a list as a whole: an undo deletes it with everything in it, or not at all, and leaves the
    contents of a deleted list as they are."""
    whole = next((part for part in judged if part.name == WHOLE), None)
    target = judged[whole].target if whole else None
    if whole and target is not None and not target.facet.shown[0]:
        first = judged[whole].undone[0]
        others = {
            step.number
            for changes in steps.values()
            for step in changes
            if not step.is_chosen and step.number > first
        }
        if not others:
            undone = {number for one in judged.values() for number in one.undone}
            return {whole: judged[whole]._replace(undone=tuple(sorted(undone)))}
        later = tuple(sorted(others))
        refused = [Skipped(number, "later_changes", later) for number in judged[whole].undone]
        judged[whole] = _Judged(None, (), [*judged[whole].skipped, *refused])
    elif not now[WHOLE].shown[0] and target is None:
        gone = [step for part, changes in steps.items() if part.name == WHOLE for step in changes][-1:]
        if not gone or gone[0].is_chosen:
            return dict.fromkeys(judged, _NOT_TO_BE)
        return {part: _already_deleted(one, gone[0].number) for part, one in judged.items()}
    return judged


def _already_deleted(one: _Judged, gone: int) -> _Judged:
    """Return what becomes of a facet of a list that was deleted by the event with the number ``gone``."""
    before = (number for number in one.undone if number < gone)
    return _Judged(None, (), [Skipped(number, "later_changes", (gone,)) for number in before])


def _restored(place: Place, of: Any, wanted: Mapping[Part, _Judged], now: datetime) -> Iterator[Restored]:
    # the last to leave comes back first, so that each finds its neighbours
    latest_first = sorted(wanted.items(), key=lambda each: each[1].undone[0], reverse=True)
    known = {part.name: one.target for part, one in latest_first if one.target is not None}
    if not known:
        return
    orders = [target.order for target in reversed(known.values())]
    targets = {name: target._replace(order=_earliest(orders, name)) for name, target in known.items()}
    undone = {part.name: one.undone for part, one in wanted.items()}
    everything = tuple(sorted({number for numbers in undone.values() for number in numbers}))
    for event in restore(place, of, targets, _after(place, of, now)):
        members = place.register.members if isinstance(place.register, OrderedSet) else None
        name = MEMBER + members.key.read(event) if members and type(event) in members.carriers else None
        yield Restored(event, undone.get(name, everything) if name else everything)


def _earliest(orders: Sequence[ListOrder], name: str) -> ListOrder:
    """Return the first of these orders that contains a member: it holds most of its neighbours."""
    key = name.removeprefix(MEMBER)
    return next((order for order in orders if order.has(key)), no_order())


def _after(place: Place, of: Any, now: datetime) -> datetime:
    """Return a time after everything that is known of an entry."""
    register = place.register
    known = [group.at(of) for group in register.groups]
    if isinstance(register, OrderedSet):
        known += [register.members.decided_at(one) for one in of.members.values()]
    return times.after_all(now, *known)


def _once(skipped: Iterable[Skipped]) -> list[Skipped]:
    """Return the first skip of each event, in the order of the events."""
    found = {one.number: one for one in reversed(list(skipped))}
    return [found[number] for number in sorted(found)]
