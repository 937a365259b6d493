"""What others may see: the settings, and which of them is in force."""

import threading
from itertools import product
from typing import Any

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from tests.api import hostile
from tests.api.devices import (
    Device,
    code_of,
    count_events,
    document,
    faults,
    feed,
    in_path,
    item,
    play,
    unharmed,
)
from tests.projecting import bring_up_to_date

MAY, JUNE = "2026-05-01T12:00:00Z", "2026-06-01T12:00:00Z"
LEVELS = ["public", "anonymous", "private"]


def put(device: Device, level: str, **body: Any) -> Any:
    answer = device.put("privacy", {"privacy": level} | body)
    assert answer.status_code == 200, answer.content
    return document(answer)


def shown(device: Device, query: str = "") -> dict[str, Any]:
    bring_up_to_date()
    answer = device.get("privacy" + query)
    assert answer.status_code == 200, answer.content
    return document(answer)


def in_force(device: Device, query: str = "") -> tuple[str, str]:
    found = shown(device, query)["in_force"]
    return found["privacy"], found["source"]


def rows() -> int:
    with connections["projections"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM users.user_privacy")
        return int(cursor.fetchone()[0])


def test_it_sets_a_level_for_the_account(phone: Device) -> None:
    names = ("rss_source_feed", "rss_source_item", "guid", "enclosure_url")
    setting = {"privacy": "public", **dict.fromkeys(names), "updated_at": MAY}
    level = {"privacy": "public", "source": "user"}
    assert put(phone, "public", updated_at=MAY) == {
        "status": "success",
        "setting": setting,
        "in_force": level,
    }
    assert shown(phone) == {"settings": [setting], "in_force": level, "next_cursor": None}


def test_without_a_setting_the_instances_default_is_in_force(phone: Device, settings: Settings) -> None:
    assert in_force(phone) == ("private", "instance")
    settings.DEFAULT_PRIVACY = "anonymous"
    assert in_force(phone, f"?feed={feed()}&item={item()}") == ("anonymous", "instance")


@pytest.mark.parametrize("levels", list(product([*LEVELS, None], repeat=3)))
def test_the_most_specific_is_in_force(phone: Device, levels: tuple[str | None, ...]) -> None:
    places: list[tuple[str, dict[str, str]]] = [
        ("item", {"feed": feed(), "item": item()}),
        ("feed", {"feed": feed()}),
        ("user", {}),
    ]
    expected = ("private", "instance")
    for (source, place), level in reversed(list(zip(places, levels, strict=True))):
        if level is not None:
            written = put(phone, level, **place)["in_force"]
            expected = (level, source)
            assert (written["privacy"], written["source"]) == expected
    assert in_force(phone, f"?feed={in_path(feed())}&item={in_path(item())}") == expected


def test_the_settings_that_bear_on_an_item_are_shown_with_it(phone: Device) -> None:
    put(phone, "public")
    put(phone, "private", feed=feed(1))
    put(phone, "anonymous", feed=feed(2))
    put(phone, "private", feed=feed(1), item=item(2))
    found = shown(phone, f"?feed={in_path(feed(1))}&item={in_path(item(1))}")
    assert {(one["privacy"], one["rss_source_feed"]) for one in found["settings"]} == {
        ("public", None),
        ("private", feed(1)),
    }
    assert len(shown(phone)["settings"]) == 4


def test_of_an_item_without_its_feed_the_feed_counts_that_was_played(phone: Device) -> None:
    """Otherwise the item would be reported as public while its feed is private."""
    put(phone, "public")
    put(phone, "private", feed=feed())
    assert in_force(phone, f"?item={item()}") == ("public", "user")
    phone.post("plays", play())
    assert in_force(phone, f"?item={item()}") == ("private", "feed")
    assert put(phone, "anonymous", item=item())["in_force"] == {"privacy": "anonymous", "source": "item"}
    cleared = document(phone.delete(f"privacy?item={item()}"))
    assert cleared["in_force"] == {"privacy": "private", "source": "feed"}


def test_a_feed_is_known_too_by_what_was_saved(phone: Device) -> None:
    put(phone, "anonymous", feed=feed())
    phone.post(f"episodes/{item()}/save", {"rss_source_feed": feed()})
    assert in_force(phone, f"?item={item()}") == ("anonymous", "feed")


def test_taking_a_level_back_lets_the_wider_one_decide(phone: Device) -> None:
    put(phone, "public")
    put(phone, "private", feed=feed())
    answer = phone.delete(f"privacy?feed={in_path(feed())}")
    assert document(answer) == {
        "status": "success",
        "setting": None,
        "in_force": {"privacy": "public", "source": "user"},
    }
    assert len(shown(phone)["settings"]) == 1
    assert document(phone.delete("privacy"))["in_force"] == {"privacy": "private", "source": "instance"}
    assert shown(phone)["settings"] == []


def test_taking_back_what_is_not_set_changes_nothing(phone: Device) -> None:
    with unharmed(phone):
        assert phone.delete("privacy").status_code == 200


def test_an_older_setting_does_not_win(phone: Device, tablet: Device) -> None:
    put(phone, "private", updated_at=JUNE)
    late = put(tablet, "public", updated_at=MAY)
    assert late["setting"]["privacy"] == "private"
    assert in_force(phone) == ("private", "user")


def test_fifty_at_once_leave_one_setting(phone: Device) -> None:
    """The account has one row in whatever order they arrive, as "no feed, no item" is stored in one way."""
    statuses: list[int] = []

    def change(number: int) -> None:
        try:
            device = Device(phone.user_id)
            statuses.append(device.put("privacy", {"privacy": LEVELS[number % 3]}).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=change, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 50
    found = shown(phone)
    assert len(found["settings"]) == 1
    assert rows() == 1


@pytest.mark.parametrize(
    "value", ["PRIVATE", "Public", "secret", "", " private", "private\n", None, 1, True, [], {}, ["private"]]
)
def test_a_level_that_is_none_is_400(phone: Device, value: object) -> None:
    with unharmed(phone):
        assert faults(phone.put("privacy", {"privacy": value})) == {"privacy": "invalid"}


def test_every_fault_is_named(phone: Device) -> None:
    with unharmed(phone):
        assert faults(phone.put("privacy", {})) == {"privacy": "required"}
        answer = phone.put("privacy", {"privacy": "x", "feed": "x", "item": 1, "updated_at": "now"})
        assert faults(answer) == dict.fromkeys(("privacy", "feed", "item", "updated_at"), "invalid")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_bad_parameters_are_named(phone: Device, method: str) -> None:
    with unharmed(phone):
        assert faults(phone.send(method, "privacy?feed=x&item=")) == {"feed": "invalid", "item": "invalid"}


def test_bad_pages_are_named(phone: Device) -> None:
    with unharmed(phone):
        assert faults(phone.get("privacy?limit=0")) == {"limit": "invalid"}
        assert faults(phone.get("privacy?cursor=x")) == {"cursor": "invalid"}


def test_a_level_that_nobody_knows_is_shown_as_private(phone: Device) -> None:
    put(phone, "public")
    bring_up_to_date()
    with connections["projections"].cursor() as cursor:
        cursor.execute("UPDATE users.user_privacy SET level = 'friends'")
    found = document(phone.get("privacy"))
    assert found["in_force"] == {"privacy": "private", "source": "user"}


def test_a_read_model_that_lags_is_not_answered_from(phone: Device, impatient: None) -> None:
    put(phone, "public")
    bring_up_to_date()
    answer = phone.put("privacy", {"privacy": "private"})
    behind = phone.get("privacy", Balados_Position=answer.headers["Balados-Position"])
    assert (behind.status_code, code_of(behind)) == (503, "behind")


def test_it_lists_page_by_page(phone: Device) -> None:
    for number in range(1, 6):
        put(phone, "private", feed=feed(number))
    seen, cursor = [], ""
    bring_up_to_date()
    while True:
        answer = document(phone.get(f"privacy?limit=2{cursor}"))
        seen += [one["rss_source_feed"] for one in answer["settings"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert sorted(seen) == sorted(feed(number) for number in range(1, 6))


def test_every_spelling_of_a_feed_is_one_setting(phone: Device) -> None:
    for level, name in zip(
        ["public", "private"] * 2, hostile.four_spellings(hostile.AWKWARD_FEED), strict=True
    ):
        put(phone, level, feed=name)
    assert len(shown(phone)["settings"]) == 1


def test_the_token_of_a_change_is_accepted_once(phone: Device) -> None:
    """Otherwise an eavesdropper could make public again what was hidden since."""
    once = Device(phone.user_id, jti="one")
    put(once, "public")
    before = count_events()
    answer = once.put("privacy", {"privacy": "private"})
    assert (answer.status_code, code_of(answer)) == (401, "token_reused")
    assert once.delete("privacy").status_code == 401
    assert count_events() == before


def test_of_bob_nothing_is_shown(phone: Device, bobs: Device) -> None:
    put(bobs, "public")
    put(bobs, "public", feed=feed())
    bobs.post("plays", play())
    assert in_force(phone, f"?item={item()}") == ("private", "instance")
    assert shown(phone)["settings"] == []
