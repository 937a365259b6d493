"""Playlists over HTTP."""

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.http import HttpResponse

from tests.api import hostile
from tests.api.devices import Device, b64, code_of, count_events, document, faults, feed, item, unharmed
from tests.projecting import bring_up_to_date

WALK = "11111111-1111-4111-8111-111111111111"
EARLY, LATE = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"
AWKWARD_ITEM = b64("~>>>???/ü?,https://example.org/1.mp3")


def member(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"rss_source_feed": feed(), "rss_source_item": item(number)} | more


def listed(device: Device, query: str = "") -> list[dict[str, Any]]:
    bring_up_to_date()
    found: list[dict[str, Any]] = document(device.get("playlists" + query))["playlists"]
    return found


def shown(device: Device, query: str = "", of: str = WALK) -> dict[str, Any]:
    bring_up_to_date()
    answer = device.get(f"playlists/{of}{query}")
    assert answer.status_code == 200, answer.content
    return document(answer)


def items(device: Device) -> list[str]:
    return [entry["rss_source_item"] for entry in shown(device)["items"]]


@pytest.fixture
def walk(phone: Device) -> str:
    """The id of Alice's playlist."""
    assert phone.post("playlists", {"id": WALK, "name": "Walk"}).status_code == 201
    return WALK


def test_it_makes_a_private_playlist(phone: Device) -> None:
    answer = phone.post("playlists", {"id": WALK, "name": "  Walk ", "description": "Slow"})
    assert answer.status_code == 201
    made = document(answer)["playlist"]
    assert made | {"updated_at": 0} == {
        "id": WALK,
        "name": "Walk",
        "description": "Slow",
        "is_public": False,
        "kind": "list",
        "updated_at": 0,
        "item_count": 0,
    }
    assert listed(phone) == [made]
    assert shown(phone) == {"playlist": made, "items": [], "next_cursor": None}


def test_it_shows_at_once_what_was_written(phone: Device, walk: str) -> None:
    bring_up_to_date()
    page = phone.get("playlists", Balados_Position="1")
    assert page.headers["Balados-Position"] == "1"
    assert phone.get(f"playlists/{walk}", Balados_Position="1").headers["Balados-Position"] == "1"


def test_the_server_chooses_an_id(phone: Device) -> None:
    first = document(phone.post("playlists", {"name": "Walk"}))["playlist"]["id"]
    second = document(phone.post("playlists", {"name": "Walk"}))["playlist"]["id"]
    assert sorted(entry["id"] for entry in listed(phone)) == sorted([first, second])


def test_a_repeat_makes_nothing_twice(phone: Device, walk: str) -> None:
    again = phone.post("playlists", {"id": WALK.upper(), "name": "Walk"})
    assert again.status_code == 200
    assert count_events() == 1
    with unharmed(phone):
        other = phone.post("playlists", {"id": walk, "name": "Run"})
        assert (other.status_code, code_of(other)) == (422, "playlist_exists")


def test_an_idempotency_key_makes_a_playlist_once(phone: Device) -> None:
    key = str(uuid4())
    first = phone.post("playlists", {"name": "Walk"}, Idempotency_Key=key)
    again = phone.post("playlists", {"name": "Walk"}, Idempotency_Key=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert len(listed(phone)) == 1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "Walk", "id": "walk"}, "id"),
        ({"name": "Walk", "id": 1}, "id"),
        ({"name": "Walk", "description": "x" * 4_001}, "description"),
        ({"name": "Walk", "is_public": "yes"}, "is_public"),
        ({"name": "Walk", "is_public": None}, "is_public"),
    ],
)
def test_bad_playlists_are_named(phone: Device, body: dict[str, object], place: str) -> None:
    with unharmed(phone):
        assert faults(phone.post("playlists", body)) == {place: "invalid"}


def test_every_fault_of_a_body_is_named(phone: Device) -> None:
    with unharmed(phone):
        assert faults(phone.post("playlists", {"id": "x", "is_public": 1})) == {
            "name": "required",
            "id": "invalid",
            "is_public": "invalid",
        }
        assert faults(phone.post(f"playlists/{WALK}/items", {"rss_source_feed": "x", "added_at": "now"})) == {
            "rss_source_feed": "invalid",
            "rss_source_item": "required",
            "added_at": "invalid",
        }


def test_a_name_may_have_200_characters(phone: Device) -> None:
    answer = phone.post("playlists", {"name": " " + "ü" * 200 + " "})
    assert document(answer)["playlist"]["name"] == "ü" * 200


def test_it_changes_what_is_named(phone: Device, walk: str) -> None:
    answer = phone.patch(f"playlists/{walk}", {"name": "Run", "description": "Fast", "is_public": True})
    assert answer.status_code == 200
    assert document(answer)["playlist"] == shown(phone)["playlist"]
    phone.patch(f"playlists/{walk}", {"description": "", "name": None})
    kept = shown(phone)["playlist"]
    assert (kept["name"], kept["description"], kept["is_public"]) == ("Run", None, True)
    phone.patch(f"playlists/{walk}", {"is_public": False})
    assert not shown(phone)["playlist"]["is_public"]
    before = count_events()
    phone.patch(f"playlists/{walk}", {})
    assert count_events() == before
    with unharmed(phone):
        assert faults(phone.patch(f"playlists/{walk}", {"name": " "})) == {"name": "invalid"}


def test_it_deletes_for_every_device(phone: Device, tablet: Device, walk: str) -> None:
    answer = phone.delete(f"playlists/{walk}")
    assert document(answer) == {"status": "success", "id": walk}
    assert listed(tablet) == []
    assert tablet.get(f"playlists/{walk}").status_code == 404
    assert phone.delete(f"playlists/{walk}").status_code == 200
    assert count_events() == 2
    for refused in (
        phone.patch(f"playlists/{walk}", {"name": "Run"}),
        phone.post(f"playlists/{walk}/items", member()),
    ):
        assert (refused.status_code, code_of(refused)) == (422, "playlist_not_found")


def test_one_that_was_deleted_can_be_made_again(phone: Device, walk: str) -> None:
    phone.delete(f"playlists/{walk}")
    assert phone.post("playlists", {"id": walk, "name": "Again"}).status_code == 201
    assert [entry["name"] for entry in listed(phone)] == ["Again"]


def test_it_holds_episodes(phone: Device, walk: str) -> None:
    body = member(item_title="One", feed_title="News", added_at=EARLY)
    answer = phone.post(f"playlists/{walk}/items", body)
    assert answer.status_code == 201
    assert document(answer)["playlist"]["item_count"] == 1
    assert shown(phone)["items"] == [
        {
            "rss_source_feed": feed(),
            "rss_source_item": item(),
            "guid": "episode-1",
            "enclosure_url": "https://example.org/1.mp3",
            "item_title": "One",
            "feed_title": "News",
            "rss_feed_title": None,
            "rss_item_title": None,
            "cover": None,
            "added_at": EARLY,
        }
    ]
    assert phone.post(f"playlists/{walk}/items", body).status_code == 200
    assert count_events() == 2


def test_it_removes_episodes_and_the_later_time_decides(phone: Device, walk: str) -> None:
    phone.post(f"playlists/{walk}/items", member(added_at=LATE))
    late = phone.delete(f"playlists/{walk}/items/{item()}?removed_at={EARLY}")
    assert document(late)["playlist"]["item_count"] == 1
    assert phone.delete(f"playlists/{walk}/items/{item()}").status_code == 200
    assert shown(phone)["playlist"]["item_count"] == 0
    assert items(phone) == []
    with unharmed(phone):
        never = phone.delete(f"playlists/{walk}/items/{item(2)}")
        assert (never.status_code, code_of(never)) == (422, "item_not_in_playlist")


@pytest.mark.parametrize("name", hostile.four_spellings(AWKWARD_ITEM))
@pytest.mark.parametrize("encoded", [False, True], ids=["as it is", "percent-encoded"])
def test_a_path_takes_every_spelling(phone: Device, walk: str, name: str, encoded: bool) -> None:
    phone.post(f"playlists/{walk}/items", member() | {"rss_source_item": AWKWARD_ITEM})
    answer = phone.delete(f"playlists/{walk}/items/{quote(name, safe='') if encoded else name}")
    assert answer.status_code == 200
    assert document(answer)["playlist"]["item_count"] == 0


def test_it_orders_episodes_and_what_is_not_named_comes_after(phone: Device, walk: str) -> None:
    for number in (1, 2, 3):
        phone.post(f"playlists/{walk}/items", member(number))
    assert items(phone) == [item(1), item(2), item(3)]
    answer = phone.put(f"playlists/{walk}/order", order(3, 1))
    assert answer.status_code == 200
    assert items(phone) == [item(3), item(1), item(2)]
    phone.patch(f"playlists/{walk}", {"name": "Run"})
    assert items(phone) == [item(3), item(1), item(2)]
    with unharmed(phone):
        refused = phone.put(f"playlists/{walk}/order", order(1, 9))
        assert (refused.status_code, code_of(refused)) == (422, "item_not_in_playlist")


def order(*numbers: int) -> dict[str, Any]:
    return {"items": [{"rss_source_item": item(number)} for number in numbers]}


def test_bad_orders_are_named(phone: Device, walk: str) -> None:
    url_safe = item(1).rstrip("=")
    twice = {"items": [*order(1, 2)["items"], {"rss_source_item": url_safe}]}
    bad = {"items": [{"rss_source_item": "x"}, {}, 7]}
    with unharmed(phone):
        assert faults(phone.put(f"playlists/{walk}/order", twice)) == {"items.2.rss_source_item": "invalid"}
        assert faults(phone.put(f"playlists/{walk}/order", bad)) == {
            "items.0.rss_source_item": "invalid",
            "items.1.rss_source_item": "required",
            "items.2": "invalid",
        }
        assert faults(phone.put(f"playlists/{walk}/order", {})) == {"items": "required"}


def test_pages_go_through_every_playlist_and_every_episode_in_order(phone: Device, walk: str) -> None:
    for number in range(1, 6):
        phone.post(f"playlists/{walk}/items", member(number))
        phone.post("playlists", {"name": f"List {number}"})
    phone.put(f"playlists/{walk}/order", order(5, 3))
    seen, page = [], shown(phone, "?limit=2")
    seen += page["items"]
    while page["next_cursor"]:
        page = shown(phone, f"?limit=2&cursor={page['next_cursor']}")
        seen += page["items"]
    assert [entry["rss_source_item"] for entry in seen] == [item(n) for n in (5, 3, 1, 2, 4)]
    first = document(phone.get("playlists?limit=4"))
    rest = document(phone.get(f"playlists?limit=4&cursor={first['next_cursor']}"))
    assert len({entry["id"] for entry in [*first["playlists"], *rest["playlists"]]}) == 6
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", b64("1 2026-05-01 x"), b64(f"9999999999 {LATE} " + "0" * 32)])
def test_cursors_that_no_page_gave_are_named(phone: Device, walk: str, cursor: str) -> None:
    bring_up_to_date()
    with unharmed(phone):
        assert faults(phone.get(f"playlists/{walk}?cursor={quote(cursor)}")) == {"cursor": "invalid"}
        assert faults(phone.get(f"playlists?cursor={quote(cursor)}")) == {"cursor": "invalid"}


@pytest.mark.parametrize("name", ["x", "1", "%00", WALK + "0", WALK[:-1] + "g"])
def test_a_path_that_is_no_id_is_400(phone: Device, name: str) -> None:
    with unharmed(phone):
        for answer in (
            phone.get(f"playlists/{name}"),
            phone.patch(f"playlists/{name}", {}),
            phone.delete(f"playlists/{name}"),
            phone.post(f"playlists/{name}/items", member()),
            phone.put(f"playlists/{name}/order", order(1)),
        ):
            assert faults(answer) == {"playlist_id": "invalid"}
        assert faults(phone.delete(f"playlists/{name}/items/x")) == {
            "playlist_id": "invalid",
            "item": "invalid",
        }


def commands(device: Device, of: str) -> list[HttpResponse]:
    return [
        device.patch(f"playlists/{of}", {"name": "Mine"}),
        device.delete(f"playlists/{of}"),
        device.post(f"playlists/{of}/items", member()),
        device.delete(f"playlists/{of}/items/{item()}"),
        device.put(f"playlists/{of}/order", order(1)),
    ]


def test_IDOR_another_users_playlist_is_as_one_that_nobody_has(phone: Device, bobs: Device) -> None:
    bobs.post("playlists", {"id": WALK, "name": "Bob's", "is_public": True})
    bobs.post(f"playlists/{WALK}/items", member())
    bring_up_to_date()
    nobodys = str(uuid4())
    with unharmed(phone):
        one, other = phone.get(f"playlists/{WALK}"), phone.get(f"playlists/{nobodys}")
        assert one.status_code == other.status_code == 404
        assert one.content == other.content
        for his, none in zip(commands(phone, WALK), commands(phone, nobodys), strict=True):
            assert (his.status_code, code_of(his)) == (422, "playlist_not_found")
            assert his.content == none.content
    assert listed(phone) == []
    assert shown(bobs)["playlist"]["name"] == "Bob's"


def test_two_users_may_have_the_same_id(phone: Device, bobs: Device, walk: str) -> None:
    assert bobs.post("playlists", {"id": walk, "name": "Bob's"}).status_code == 201
    phone.post(f"playlists/{walk}/items", member())
    assert shown(bobs)["items"] == []
    assert shown(phone)["playlist"]["name"] == "Walk"


def test_what_was_made_over_HTTP_reaches_devices_that_sync(phone: Device, tablet: Device, walk: str) -> None:
    cursor = tablet.sync()["cursor"]
    for number in (1, 2):
        phone.post(f"playlists/{walk}/items", member(number))
    phone.put(f"playlists/{walk}/order", order(2, 1))
    [synced] = tablet.sync(cursor)["data"]["playlists"]
    assert [(one["rss_source_item"], one["position"]) for one in synced["items"]] == [
        (item(2), 0),
        (item(1), 1),
    ]
    before = count_events()
    assert tablet.sync(playlists=[synced])["conflicts"] == []
    assert count_events() == before
    synced["items"][0]["removed_at"] = "2030-01-01T00:00:00Z"
    tablet.sync(playlists=[synced])
    assert items(phone) == [item(1)]


def test_the_queue_is_a_playlist_that_needs_no_making_and_stays(phone: Device, tablet: Device) -> None:
    assert phone.get("playlists/queue").status_code == 404
    one, two = member(1), member(2)
    made = phone.post("playlists/queue/items", one)
    assert made.status_code == 201
    queue = document(made)["playlist"]
    assert (queue["kind"], queue["name"], queue["is_public"]) == ("queue", "Up next", False)
    phone.post("playlists/queue/items", {**two, "place": "first"})
    assert in_queue(phone) == in_queue(phone, queue["id"]) == [item(2), item(1)]
    assert [row["kind"] for row in listed(phone)] == ["queue"]
    # an app that does not know about the queue syncs it like any other list
    [known] = document(tablet.post("sync", {}))["data"]["playlists"]
    assert (known["id"], known["kind"]) == (queue["id"], "queue")
    phone.post("plays", {**two, "position": 60, "played": True})
    assert in_queue(phone) == [item(1)]
    refused = phone.delete("playlists/queue")
    assert (refused.status_code, code_of(refused)) == (422, "queue_not_deletable")
    for _twice in range(2):
        assert phone.delete("playlists/queue/items").status_code == 200
        assert in_queue(phone) == []
    assert phone.post("playlists/queue/items", {**one, "place": "middle"}).status_code == 400
    assert phone.get("playlists/neither").status_code == 400
    again = phone.patch("playlists/queue", {"name": None})
    assert document(again)["playlist"]["item_count"] == 0


def in_queue(device: Device, of: str = "queue") -> list[str]:
    return [entry["rss_source_item"] for entry in shown(device, of=of)["items"]]
