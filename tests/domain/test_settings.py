"""Settings that apps store on the server."""

from typing import Any

import pytest

from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Event
from eventstore.domain.plays import RecordPlay
from eventstore.domain.settings import ChangeSettings, SettingsChanged, scope_of
from tests.domain.scenarios import ALICE, MONDAY, NEWS, folded, minutes, when

SCOPES: list[dict[str, Any]] = [
    {},
    {"device": "phone"},
    {"feed": NEWS},
    {"feed": NEWS, "item": MONDAY},
    {"device": "phone", "feed": NEWS},
]


def change(after: float = 0, remove: tuple[str, ...] = (), values: Any = None, **scope: Any) -> Any:
    return ChangeSettings(user_id=ALICE, set=values or {}, remove=remove, now=minutes(after), **scope)


@pytest.mark.parametrize("scope", SCOPES)
def test_only_what_is_named_changes_in_its_scope_alone(scope: dict[str, str]) -> None:
    others: list[Event] = []
    for other in SCOPES:
        others += when(change(values={"a": "other"}, **other), others)
    before = folded(others)
    events = when(change(5, ("a", "unknown"), {"b": [1, {"c": None}]}, **scope), others)
    after = folded(events, folded(others))
    changed = {key for key in after.settings if after.settings[key] != before.settings[key]}
    assert changed == {scope_of(scope.get("device"), scope.get("feed"), scope.get("item"))}
    assert after.settings[changed.pop()].values == {"b": [1, {"c": None}]}


def test_no_change_is_no_event() -> None:
    assert when(change(remove=("a",))) == []
    given = when(change(values={"a": 1, "b": 2}))
    assert when(change(values={"b": 2, "a": 1}), given) == []


def test_the_last_setting_that_goes_leaves_nothing() -> None:
    given = when(change(values={"a": 1}))
    (event,) = when(change(5, ("a",)), given)
    assert isinstance(event, SettingsChanged)
    assert event.settings is None


def test_settings_of_an_episode_stay_with_it_when_its_guid_is_learned() -> None:
    file = "https://example.org/1.mp3"
    alone, known = item_of("", file), item_of("monday", file)
    given = when(change(values={"is_favorite": True}, feed=NEWS, item=alone))
    play = RecordPlay(
        user_id=ALICE, now=minutes(1), feed=NEWS, item=known, position=1, played=False, at=minutes(0)
    )
    state = folded([*given, *when(play, given)])
    assert state.settings.keys() == {scope_of(feed=NEWS, item=known)}
