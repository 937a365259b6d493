"""Collections over HTTP; what they have in common with playlists is tested there in more detail."""

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from eventstore.domain.collections import default_id
from tests.api import hostile
from tests.api.devices import Device, code_of, count_events, document, faults, feed, unharmed
from tests.projecting import bring_up_to_date

GYM = "11111111-1111-4111-8111-111111111111"
EARLY, LATE = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"


def listed(device: Device, query: str = "") -> list[dict[str, Any]]:
    bring_up_to_date()
    found: list[dict[str, Any]] = document(device.get("collections" + query))["collections"]
    return found


def shown(device: Device, query: str = "", of: str = GYM) -> dict[str, Any]:
    bring_up_to_date()
    answer = device.get(f"collections/{of}{query}")
    assert answer.status_code == 200, answer.content
    return document(answer)


def feeds(device: Device, of: str = GYM) -> list[str]:
    return [entry["rss_source_feed"] for entry in shown(device, of=of)["feeds"]]


def subscribe(device: Device, *numbers: int) -> None:
    for number in numbers:
        assert device.post("subscriptions", {"rss_source_feed": feed(number)}).status_code == 201


def add(device: Device, number: int = 1, of: str = GYM, **more: Any) -> Any:
    return device.post(f"collections/{of}/feeds", {"rss_source_feed": feed(number)} | more)


def order(*numbers: int) -> dict[str, Any]:
    return {"feeds": [{"rss_source_feed": feed(number)} for number in numbers]}


@pytest.fixture
def gym(phone: Device) -> str:
    """The id of Alice's collection."""
    assert phone.post("collections", {"id": GYM, "name": "Gym"}).status_code == 201
    return GYM


@pytest.fixture
def default(phone: Device) -> str:
    """The id of Alice's default collection, which her first subscription creates."""
    subscribe(phone, 1)
    return str(default_id(phone.user_id))


def test_it_makes_a_private_collection(phone: Device) -> None:
    answer = phone.post("collections", {"id": GYM, "name": " Gym ", "color": "#2F6F4E"})
    assert answer.status_code == 201
    made = document(answer)["collection"]
    assert made | {"updated_at": 0} == {
        "id": GYM,
        "name": "Gym",
        "description": None,
        "color": "#2f6f4e",
        "is_public": False,
        "is_default": False,
        "updated_at": 0,
        "feed_count": 0,
    }
    assert listed(phone) == [made]
    assert shown(phone) == {"collection": made, "feeds": [], "next_cursor": None}


def test_a_repeat_makes_nothing_twice(phone: Device, gym: str) -> None:
    assert phone.post("collections", {"id": gym, "name": "Gym"}).status_code == 200
    with unharmed(phone):
        other = phone.post("collections", {"id": gym, "name": "Gym", "color": "#000000"})
        assert (other.status_code, code_of(other)) == (422, "collection_exists")


@pytest.mark.parametrize(
    "color", ["", "red", "#fff", "#12345g", "2f6f4e", "#2f6f4e\n", "#2f6f4e0", 7, "#１２３４５６"]
)
def test_a_color_is_six_hexadecimal_digits(phone: Device, color: object) -> None:
    with unharmed(phone):
        body = {"name": " ", "color": color}
        assert faults(phone.post("collections", body)) == {"name": "invalid", "color": "invalid"}


def test_it_changes_what_is_named(phone: Device, gym: str) -> None:
    answer = phone.patch(f"collections/{gym}", {"name": "Mix", "color": "#ABCDEF", "is_public": True})
    assert document(answer)["collection"] == shown(phone)["collection"]
    phone.patch(f"collections/{gym}", {"color": "", "description": None})
    kept = shown(phone)["collection"]
    assert (kept["name"], kept["color"], kept["is_public"]) == ("Mix", None, True)
    with unharmed(phone):
        assert faults(phone.patch(f"collections/{gym}", {"color": "red"})) == {"color": "invalid"}


def test_it_deletes_and_makes_again(phone: Device, tablet: Device, gym: str) -> None:
    assert document(phone.delete(f"collections/{gym}")) == {"status": "success", "id": gym}
    assert listed(tablet) == []
    assert tablet.get(f"collections/{gym}").status_code == 404
    assert phone.delete(f"collections/{gym}").status_code == 200
    refused = add(phone)
    assert (refused.status_code, code_of(refused)) == (422, "not_subscribed")
    subscribe(phone, 1)
    refused = add(phone)
    assert (refused.status_code, code_of(refused)) == (422, "collection_not_found")
    assert phone.post("collections", {"id": gym, "name": "Gym"}).status_code == 201


def test_it_holds_feeds_that_are_subscribed_to(phone: Device, gym: str) -> None:
    with unharmed(phone):
        refused = add(phone)
        assert (refused.status_code, code_of(refused)) == (422, "not_subscribed")
    subscribe(phone, 1)
    answer = add(phone, added_at=EARLY)
    assert answer.status_code == 201
    assert document(answer)["collection"]["feed_count"] == 1
    assert add(phone).status_code == 200
    assert shown(phone)["feeds"] == [
        {
            "rss_source_feed": feed(),
            "feed_url": "https://example.org/1.xml",
            "rss_feed_title": None,
            "cover": None,
            "added_at": EARLY,
        }
    ]


def test_it_removes_feeds_and_the_later_time_decides(phone: Device, gym: str) -> None:
    subscribe(phone, 1, 2)
    add(phone, added_at=LATE)
    late = phone.delete(f"collections/{gym}/feeds/{feed()}?removed_at={EARLY}")
    assert document(late)["collection"]["feed_count"] == 1
    phone.delete(f"collections/{gym}/feeds/{feed()}")
    assert feeds(phone) == []
    with unharmed(phone):
        never = phone.delete(f"collections/{gym}/feeds/{feed(2)}")
        assert (never.status_code, code_of(never)) == (422, "feed_not_in_collection")


@pytest.mark.parametrize("name", hostile.four_spellings(hostile.AWKWARD_FEED))
@pytest.mark.parametrize("encoded", [False, True], ids=["as it is", "percent-encoded"])
def test_a_path_takes_every_spelling(phone: Device, gym: str, name: str, encoded: bool) -> None:
    phone.post("subscriptions", {"rss_source_feed": hostile.AWKWARD_FEED})
    phone.post(f"collections/{gym}/feeds", {"rss_source_feed": hostile.AWKWARD_FEED})
    answer = phone.delete(f"collections/{gym}/feeds/{quote(name, safe='') if encoded else name}")
    assert document(answer)["collection"]["feed_count"] == 0


def test_it_orders_feeds(phone: Device, gym: str) -> None:
    subscribe(phone, 1, 2, 3)
    for number in (1, 2, 3):
        add(phone, number)
    assert feeds(phone) == [feed(1), feed(2), feed(3)]
    assert phone.put(f"collections/{gym}/order", order(3, 1)).status_code == 200
    assert feeds(phone) == [feed(3), feed(1), feed(2)]
    first = shown(phone, "?limit=2")
    rest = shown(phone, f"?limit=2&cursor={first['next_cursor']}")
    assert [entry["rss_source_feed"] for entry in rest["feeds"]] == [feed(2)]
    with unharmed(phone):
        refused = phone.put(f"collections/{gym}/order", order(9))
        assert (refused.status_code, code_of(refused)) == (422, "feed_not_in_collection")
        assert faults(phone.put(f"collections/{gym}/order", order(1, 1))) == {
            "feeds.1.rss_source_feed": "invalid"
        }


def test_the_default_collection_holds_what_is_subscribed_to(phone: Device, default: str) -> None:
    [all_of_them] = listed(phone)
    assert (all_of_them["id"], all_of_them["name"], all_of_them["is_default"], all_of_them["feed_count"]) == (
        default, "All Subscriptions", True, 1,
    )  # fmt: skip
    subscribe(phone, 2)
    assert feeds(phone, default) == [feed(1), feed(2)]
    ordered = phone.put(f"collections/{default}/order", order(2, 1))
    assert document(ordered)["collection"]["feed_count"] == 2
    assert feeds(phone, default) == [feed(2), feed(1)]
    phone.delete(f"subscriptions/{feed(2)}")
    assert feeds(phone, default) == [feed(1)]
    assert shown(phone, of=default)["collection"]["feed_count"] == 1


def test_the_default_collection_stays(phone: Device, default: str) -> None:
    with unharmed(phone):
        for refused in (
            phone.delete(f"collections/{default}"),
            phone.delete(f"collections/{default}/feeds/{feed()}"),
        ):
            assert (refused.status_code, code_of(refused)) == (422, "default_collection")
        assert add(phone, of=default).status_code == 200
        assert code_of(add(phone, 2, of=default)) == "not_subscribed"
    phone.patch(f"collections/{default}", {"name": "Mine", "color": "#000000"})
    assert shown(phone, of=default)["collection"]["name"] == "Mine"


def test_IDOR_another_users_collection_is_as_one_that_nobody_has(phone: Device, bobs: Device) -> None:
    subscribe(phone, 1)
    subscribe(bobs, 1)
    bobs.post("collections", {"id": GYM, "name": "Bob's", "is_public": True})
    add(bobs)
    bring_up_to_date()
    nobodys, his_default = str(uuid4()), str(default_id(bobs.user_id))
    with unharmed(phone):
        for his in (GYM, his_default):
            one, other = phone.get(f"collections/{his}"), phone.get(f"collections/{nobodys}")
            assert one.status_code == other.status_code == 404
            assert one.content == other.content
            for one, other in zip(commands(phone, his), commands(phone, nobodys), strict=True):
                assert (one.status_code, code_of(one)) == (422, "collection_not_found")
                assert one.content == other.content
    assert shown(bobs)["collection"]["name"] == "Bob's"


def commands(device: Device, of: str) -> list[Any]:
    return [
        device.patch(f"collections/{of}", {"name": "Mine"}),
        device.delete(f"collections/{of}"),
        add(device, of=of),
        device.delete(f"collections/{of}/feeds/{feed()}"),
        device.put(f"collections/{of}/order", order(1)),
    ]


@pytest.mark.parametrize("name", ["x", "%00", GYM + "0"])
def test_a_path_that_is_no_id_is_400(phone: Device, name: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(f"collections/{name}")) == {"collection_id": "invalid"}
        assert faults(phone.put(f"collections/{name}/order", order(1))) == {"collection_id": "invalid"}


def test_what_was_made_over_HTTP_reaches_devices_that_sync_and_comes_back_the_same(
    phone: Device, tablet: Device, gym: str, default: str
) -> None:
    cursor = tablet.sync()["cursor"]
    add(phone)
    phone.put(f"collections/{default}/order", order(1))
    synced = tablet.sync(cursor)["data"]["collections"]
    assert {one["id"]: [entry["rss_source_feed"] for entry in one["feeds"]] for one in synced} == {
        gym: [feed()],
        default: [feed()],
    }
    before = count_events()
    assert tablet.sync(collections=synced)["conflicts"] == []
    assert count_events() == before


def test_a_walk_through_the_pages_meets_every_collection(phone: Device) -> None:
    for number in range(5):
        phone.post("collections", {"name": f"Collection {number}"})
    first = listed(phone, "?limit=3")
    cursor = document(phone.get("collections?limit=3"))["next_cursor"]
    rest = listed(phone, f"?limit=3&cursor={cursor}")
    assert len({entry["id"] for entry in [*first, *rest]}) == 5
