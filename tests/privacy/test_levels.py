"""Levels and overrides: the most specific one decides, also for the past, and everywhere at once."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations, product
from typing import get_args
from uuid import UUID

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from eventstore.domain import privacy
from eventstore.domain.messages import Event
from eventstore.domain.privacy import Level
from projections import rebuild
from projections.connect import Connection
from projections.projectors import PROJECTORS
from tests.api.devices import Device, faults, feed, item, play, unharmed
from tests.privacy.acts import account, level, perform, seen
from tests.projecting import bring_up_to_date
from tests.projections.conftest import Project
from tests.projections.histories import dump, minutes, played, record, subscribed

pytestmark = pytest.mark.usefixtures("stores")
LEVELS: tuple[Level, ...] = get_args(Level)
FEED, ITEM = feed(1), item(1)
ALICE, BOB, CHARLIE = (UUID(int=number) for number in range(1, 4))


def test_item_before_feed_before_account(connection: Connection, project: Project) -> None:
    """All 3 x 3 x 3 combinations, and those in which some of the three are not set."""
    choices = list(product((None, *LEVELS), repeat=3))
    for number, (of_item, of_feed, of_account) in enumerate(choices):
        user = UUID(int=number)
        settings: dict[str, privacy.PrivacySetting] = {}
        history: list[Event] = [played(user, ITEM, feed=FEED, at=30)]
        for to, on_feed, on_item in (
            (of_item, FEED, ITEM),
            (of_feed, FEED, None),
            (of_account, None, None),
        ):
            if to is not None:
                event = level(to, user, on_feed, on_item)
                history.append(event)
                privacy.REGISTER.evolve(settings, event)
        record(*history)
    project()
    shown = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT a.user_id, p.user_id, p.happened_at FROM users.activity a"
            " JOIN public.public_events p ON p.id = a.public_id"
        )
    }
    for number, (of_item, of_feed, of_account) in enumerate(choices):
        expected: Level = of_item or of_feed or of_account or "private"
        user = UUID(int=number)
        if expected == "private":
            assert user not in shown, choices[number]
        else:
            public = expected == "public"
            assert shown[user] == (user if public else None, minutes(30 if public else 0)), choices[number]


@pytest.mark.parametrize("scope", ["account", "feed", "item"])
@pytest.mark.parametrize("way", list(permutations(LEVELS)), ids="-".join)
def test_every_change_reaches_rows_figures_and_people_at_once(
    connection: Connection, project: Project, scope: str, way: tuple[Level, ...]
) -> None:
    for number, name in enumerate(("alice", "bob", "charlie"), 1):
        account(name, number)
    on_feed, on_item = (None if scope == "account" else FEED), (ITEM if scope == "item" else None)
    # two other listeners, so that Alice is the third
    others = [
        event
        for user in (BOB, CHARLIE)
        for event in (level("anonymous", user), played(user, ITEM, feed=FEED), subscribed(user, FEED))
    ]
    perform([*others, played(ALICE, ITEM, feed=FEED, at=30)], pause=100)
    for at, to in enumerate((*way, *way)):
        record(level(to, ALICE, on_feed, on_item, at=at))
        project()
        # the worker has not run: readers get the current state
        popularity = seen(f"episode/{ITEM}/popularity")
        plays = [event for event in seen("timeline")["events"] if event["event_type"] == "play"]
        match to:
            case "public":
                assert (popularity["plays"], popularity["score"]) == (1, 5)
                assert popularity["people"] == [{"username": "alice"}]
                assert len(plays) == 3
                assert [event["username"] for event in plays].count("alice") == 1
            case "anonymous":
                assert (popularity["plays"], popularity["score"]) == (3, 15)
                assert popularity["people"] == []
                assert {event["username"] for event in plays} == {None}
                assert len(plays) == 3
            case "private":
                assert (popularity["plays"], popularity["score"]) == (0, 0)
                assert popularity["people"] == []
                assert len(plays) == 2
        assert seen(f"podcast/{FEED}/popularity")["plays"] == popularity["plays"]
    live = dump(connection)
    rebuild.rebuild([PROJECTORS["public_events"], PROJECTORS["popularity"]])
    assert dump(connection) == live


def test_what_is_hidden_is_in_no_list_before_the_worker_comes(project: Project) -> None:
    account("alice", 1)
    perform([level("public", ALICE), played(ALICE, ITEM, feed=FEED)])
    assert seen("trending/podcasts")["podcasts"]
    assert seen("trending/episodes")["episodes"]
    record(level("private", ALICE, at=1))
    project()
    assert seen("trending/podcasts") == {"podcasts": []}
    assert seen("trending/episodes") == {"episodes": []}
    record(level("public", ALICE, at=2))
    project()
    assert seen("trending/podcasts")["podcasts"][0]["people"] == [{"username": "alice"}]


def test_the_same_setting_fifty_times_at_once_is_one_row(connection: Connection, phone: Device) -> None:
    def change(number: int) -> int:
        try:
            to = LEVELS[number % 3]
            return phone.put("privacy", {"privacy": to}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, range(50))) == {200}
    bring_up_to_date()
    kept = dump(connection)
    assert [len(kept[table]) for table in ("user_privacy", "activity_levels")] == [1, 1]
    assert kept["user_privacy"][0][4] == kept["activity_levels"][0][3]


@pytest.mark.parametrize("value", ["PRIVATE", "secret", "", None, 1, ["public"], "public "])
def test_what_is_no_level_is_400(phone: Device, value: object) -> None:
    with unharmed(phone):
        answer = phone.put("privacy", {"privacy": value})
        assert answer.status_code == 400
        assert faults(answer) == {"privacy": "invalid"}


def test_who_is_new_is_private_unless_the_instance_says_otherwise(phone: Device, settings: Settings) -> None:
    phone.post("plays", play())
    bring_up_to_date()
    assert seen("timeline")["events"] == []
    settings.DEFAULT_PRIVACY = "public"
    phone.post("plays", play(2))
    bring_up_to_date()
    assert [event["username"] for event in seen("timeline")["events"]] == ["alice"]


def test_a_level_that_nobody_knows_shows_nothing(connection: Connection, project: Project) -> None:
    account("alice", 1)
    record(level("public", ALICE))
    project()
    connection.execute("UPDATE users.activity_levels SET level = 'friends'")
    record(played(ALICE, ITEM, feed=FEED))
    project()
    assert seen("timeline")["events"] == []
