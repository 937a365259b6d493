"""The same laws for every register, field by field; new topics and new fields are covered automatically."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eventstore.domain import history, sync
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.register import Register
from eventstore.domain.registers import LastWriter
from eventstore.domain.sync import SyncUserData
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS, User
from tests.domain.drawn import FROM_KEY, REGISTERS, entries, events, of_type, states
from tests.domain.scenarios import ALICE, NOON, folded, synced
from tests.properties import examples

of_every_register = pytest.mark.parametrize("register", REGISTERS.values(), ids=REGISTERS)
of_every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
GROUPED = [
    (name, group, field)
    for name, register in REGISTERS.items()
    for group in register.groups
    for field in group.fields
]
few = examples(30, shrink=True)
SHOWN = [
    (topic, field)
    for topic in TOPICS
    if isinstance(topic.register, LastWriter)
    for field in topic.register.shown_fields
]


@of_every_register
def test_every_field_goes_with_a_time(register: Register[Any]) -> None:
    grouped = {name for group in register.groups for name in (*group.times, *group.names)}
    assert register.fields.keys() - FROM_KEY.keys() == grouped - FROM_KEY.keys()


@of_every_register
@few
@given(st.data())
def test_merging_is_commutative_associative_and_idempotent(
    register: Register[Any], data: st.DataObject
) -> None:
    a, b, c = (data.draw(states(register)) for _ in range(3))
    merge = register.merge
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(merge(a, b), b) == merge(a, b)


@pytest.mark.parametrize(("name", "group", "field"), GROUPED, ids=lambda part: getattr(part, "name", None))
@few
@given(st.data())
def test_each_field_alone_decides_between_two_of_one_time(
    name: str, group: Any, field: Any, data: st.DataObject
) -> None:
    register = REGISTERS[name]
    one = data.draw(states(register).filter(lambda of: group.at(of) is not None))
    others = st.sampled_from(field.ranks) if field.ranks else data.draw(st.just(values_like(register, field)))
    other = msgspec.structs.replace(one, **{field.name: data.draw(others)})
    greater = max(one, other, key=lambda of: field.rank(getattr(of, field.name)))
    assert register.merge(one, other) == register.merge(other, one) == greater


def values_like(register: Register[Any], field: Any) -> st.SearchStrategy[Any]:
    """Other possible values of a field."""
    return states(register).map(lambda of: getattr(of, field.name))


@of_every_register
@few
@given(st.data())
def test_the_later_of_two_counts_with_all_that_goes_with_its_time(
    register: Register[Any], data: st.DataObject
) -> None:
    group = register.groups[0]
    one, other = (data.draw(states(register).filter(lambda of: group.at(of) is not None)) for _ in range(2))
    assume(group.at(one) != group.at(other))
    later = one if group.exceeds(one, other) else other
    merged = register.merge(one, other)
    assert {name: getattr(merged, name) for name in group.names} == {
        name: getattr(later, name) for name in group.names
    }


@of_every_topic
@few
@given(st.data())
def test_events_lead_to_the_same_state_in_any_order_and_twice(topic: Topic, data: st.DataObject) -> None:
    """For a list only its members are tested: events with a part of the list itself depend on their order,
    and whoever writes them knows the rest."""
    register = topic.register
    whole = register.members if isinstance(register, OrderedSet) else register
    drawn = data.draw(st.lists(events(topic, only=whole.carriers), max_size=6))
    again = data.draw(st.permutations([*drawn, *drawn]))
    assert folded(again) == folded(drawn)


@pytest.mark.parametrize(("topic", "field"), SHOWN, ids=lambda part: getattr(part, "name", part))
@few
@given(st.data())
def test_of_two_events_that_differ_in_one_field_the_greater_is_in_effect(
    topic: Topic, field: str, data: st.DataObject
) -> None:
    event = data.draw(events(topic, claimed_at=st.none()))
    public = topic.register.fields[field].public
    other = msgspec.structs.replace(
        event, **{public: data.draw(events(topic).map(lambda of: getattr(of, public)))}
    )
    user = folded([event, other])
    held = [history.in_effect(user, one) for one in (event, other)]
    ranks = [topic.register.fields[field].rank(getattr(one, public)) for one in (event, other)]
    assert [one is not None and one.holds for one in held] == [rank == max(ranks) for rank in ranks]
    for one in held:
        assert one is not None
        assert one.rule == ("later_wins" if one.holds else topic.register.tie)


@of_every_topic
@few
@given(st.data())
def test_an_event_happened_at_the_time_that_it_names(topic: Topic, data: st.DataObject) -> None:
    event = data.draw(events(topic, claimed_at=st.none()))
    named = [getattr(event, name) for name in event.__struct_fields__ if name.endswith("_at")]
    assert named.count(None) == len(named) - 1
    assert history.happened_at(event) in named


@of_every_topic
@few
@given(st.data())
def test_the_last_event_to_count_holds_and_what_is_unknown_is_not_judged(
    topic: Topic, data: st.DataObject
) -> None:
    event = data.draw(events(topic))
    assert history.in_effect(User(ALICE), event) is None
    verdict = history.in_effect(folded([event]), event)
    assert (verdict is None) is (type(event) in topic.not_state)
    assert verdict is None or verdict.holds or "order" in event.__struct_fields__ or is_of_nothing(event)


def is_of_nothing(event: Any) -> bool:
    return getattr(event, "added_at", ...) is None


@pytest.mark.parametrize(("topic", "field"), SHOWN, ids=lambda part: getattr(part, "name", part))
@few
@given(st.data())
def test_what_a_device_says_otherwise_in_one_field_alone_is_a_conflict(
    topic: Topic, field: str, data: st.DataObject
) -> None:
    register = topic.register
    assert isinstance(register, LastWriter)
    sent = data.draw(entries(topic))
    key, incoming = next(iter(register.merge_payload([sent], ALICE).items()))
    other = msgspec.structs.replace(
        incoming, **{field: data.draw(values_like(register, register.fields[field]))}
    )
    older = register.at(other, register.event, NOON - timedelta(hours=1))
    user = User(ALICE)
    synced(user, payload(topic, sent))
    conflicts = sync.conflicts(user, payload(topic, register.to_entry(key, older)))
    assert [one.rule for one in conflicts] == ([] if other == incoming else ["later_wins"])


@of_every_topic
@few
@given(st.data())
def test_the_entries_of_one_payload_merge_in_every_order(topic: Topic, data: st.DataObject) -> None:
    sent = data.draw(st.lists(entries(topic), max_size=3))
    merged = [topic.register.merge_payload(order, ALICE) for order in permutations(sent)]
    assert all(one == merged[0] for one in merged)


@of_every_topic
@few
@given(st.data())
def test_the_state_as_entries_is_the_state_and_no_news(topic: Topic, data: st.DataObject) -> None:
    user = User(ALICE)
    synced(user, payload(topic, *data.draw(st.lists(entries(topic), max_size=4))))
    entries_of = payload(topic, *topic.register.to_entries(getattr(user, topic.name)))
    assert synced(user, entries_of) == []
    assert sync.conflicts(user, entries_of) == []


def payload(topic: Topic, *sent: Any) -> SyncUserData:
    return SyncUserData(user_id=ALICE, now=NOON, **{topic.plural: list(sent)})


def test_values_are_drawn_for_every_type_of_a_field() -> None:
    for register in REGISTERS.values():
        for field in register.fields.values():
            if field.name != "order":
                of_type(field.type, st.just(NOON))
