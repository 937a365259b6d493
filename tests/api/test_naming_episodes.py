"""An episode is (feed, GUID), named by its item or by GUID and enclosure URL, with or without its feed."""

from typing import Any

import pytest

from tests.api.devices import (
    Device,
    b64,
    code_of,
    document,
    faults,
    feed,
    in_path,
    item,
    play,
    status,
    url_safe,
)
from tests.projecting import bring_up_to_date

EARLY, LATE = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"
FILE = "https://cdn.example.org/1.mp3"
ONE = b64(f"1,{FILE}")
WALK = "3a1b0000-0000-4000-8000-000000000000"
NAMES = ("rss_source_item", "guid", "enclosure_url")


def named(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in NAMES)


def listed(device: Device, path: str, name: str) -> list[dict[str, Any]]:
    bring_up_to_date()
    found: list[dict[str, Any]] = document(device.get(path))[name]
    return found


def test_guid_and_enclosure_stand_in_the_place_of_an_item(phone: Device) -> None:
    body = {"rss_source_feed": feed(), "position": 7, "played": False}
    for given in ({"guid": "1", "enclosure_url": FILE}, {"rss_source_item": ONE}):
        shown = document(phone.post("plays", body | given))["play_status"]
        assert named(shown) == (ONE, "1", FILE)
    [shown] = listed(phone, "plays", "play_statuses")
    assert named(shown) == (ONE, "1", FILE)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"guid": " a \n b "}, ("a b", "")),
        ({"enclosure_url": " HTTPS://Example.org:443/ü "}, ("", "https://example.org/%C3%BC")),
        ({"guid": "", "enclosure_url": FILE}, ("", FILE)),
        ({"guid": "2", "rss_source_item": ONE}, ("2", FILE)),
        ({"enclosure_url": "https://b.example/", "rss_source_item": ONE}, ("1", "https://b.example/")),
        ({"guid": "a,http://b", "enclosure_url": FILE}, ("a,http://b", FILE)),
        (
            {"guid": "a", "enclosure_url": "https://c.example/x,http://d"},
            ("a", "https://c.example/x,http://d"),
        ),
        ({"guid": "a", "enclosure_url": "https://c.example/x,"}, ("a", "https://c.example/x,")),
    ],
)
def test_the_two_fields_win_and_hold_what_the_item_cannot(
    phone: Device, given: dict[str, str], meant: tuple[str, str]
) -> None:
    body = {"rss_source_feed": feed(), "position": 7, "played": False} | given
    shown = document(phone.post("plays", body))["play_status"]
    assert named(shown) == (b64(",".join(meant)), *meant)
    entry = phone.sync()["data"]["play_statuses"][0]
    assert named(entry) == named(shown)
    assert phone.sync(play_statuses=[entry])["conflicts"] == []
    [kept] = listed(phone, "plays", "play_statuses")
    assert named(kept) == named(shown)


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({}, {"rss_source_item": "required"}),
        ({"guid": "", "enclosure_url": ""}, {"rss_source_item": "required"}),
        ({"guid": "a\x1bb"}, {"guid": "invalid"}),
        ({"guid": "a", "enclosure_url": "ftp://b"}, {"enclosure_url": "invalid"}),
        ({"guid": "a" * 4_090, "enclosure_url": FILE}, {None: "invalid"}),
    ],
)
def test_what_names_no_episode_is_refused(
    phone: Device, given: dict[str, str], places: dict[str | None, str]
) -> None:
    answer = phone.post("plays", {"rss_source_feed": feed(), "position": 7, "played": False} | given)
    assert (answer.status_code, faults(answer)) == (400, places)


def test_two_feeds_with_one_guid_do_not_overwrite_each_other(phone: Device) -> None:
    for number in (1, 2):
        of = {"rss_source_feed": feed(number)}
        phone.post("plays", of | {"rss_source_item": ONE, "position": number, "played": False})
        phone.post(f"episodes/{ONE}/save", of)
        phone.put("privacy", {"privacy": "private", "feed": feed(number), "item": ONE})
        phone.post("playlists", {"id": WALK, "name": "Walk"})
        phone.post(f"playlists/{WALK}/items", of | {"rss_source_item": ONE})
    feeds = [feed(1), feed(2)]
    plays = listed(phone, "plays", "play_statuses")
    assert [(one["rss_source_feed"], one["position"]) for one in plays] == list(
        zip(feeds, (1, 2), strict=True)
    )
    for path, name in (
        ("episodes/saved", "saved_episodes"),
        ("privacy", "settings"),
        (f"playlists/{WALK}", "items"),
    ):
        assert sorted(one["rss_source_feed"] for one in listed(phone, path, name)) == sorted(feeds)
    data = phone.sync()["data"]
    for topic in ("play_statuses", "saved_episodes", "privacy_settings"):
        assert sorted(one["rss_source_feed"] for one in data[topic]) == sorted(feeds)


def test_an_item_of_several_feeds_needs_its_feed(phone: Device) -> None:
    phone.post("playlists", {"id": WALK, "name": "Walk"})
    for number in (1, 2):
        phone.post("plays", play(rss_source_feed=feed(number)))
        phone.post(f"playlists/{WALK}/items", {"rss_source_feed": feed(number), "rss_source_item": item()})
        phone.post(f"episodes/{item()}/save", {"rss_source_feed": feed(number)})
    bring_up_to_date()
    path = f"playlists/{WALK}"
    at, named_so = f"?feed={in_path(feed(2))}", {"rss_source_feed": feed(2), "rss_source_item": item()}
    for without, with_it in (
        (phone.put(f"plays/{item()}/position", {"position": 9}), None),
        (phone.delete(f"episodes/{item()}/save"), phone.delete(f"episodes/{item()}/save{at}")),
        (phone.delete(f"{path}/items/{item()}"), phone.delete(f"{path}/items/{item()}{at}")),
        (
            phone.put(f"{path}/order", {"items": [{"rss_source_item": item()}]}),
            phone.put(f"{path}/order", {"items": [{**named_so, "rss_source_feed": feed(1)}]}),
        ),
        (
            phone.put("privacy", {"privacy": "public", "item": item()}),
            phone.put("privacy", {"privacy": "public", "item": item(), "feed": feed(2)}),
        ),
        (phone.get(f"privacy?item={in_path(item())}"), phone.get(f"privacy{at}&item={in_path(item())}")),
        (phone.post("removals", {"item": item()}), phone.post("removals", {"item": item(), "feed": feed(2)})),
    ):
        assert (without.status_code, code_of(without)) == (422, "ambiguous_item")
        assert with_it is None or with_it.status_code == 200, with_it.content
    moved = phone.put(f"plays/{item()}/position{f'?feed={in_path(feed(1))}'}", {"position": 9})
    assert document(moved)["play_status"]["rss_source_feed"] == feed(1)


def test_another_enclosure_of_a_guid_is_the_same_episode(phone: Device, tablet: Device) -> None:
    newer = {"rss_source_item": b64(f"1,{FILE}?token=2"), "guid": "1", "enclosure_url": f"{FILE}?token=2"}
    older = {"rss_source_item": ONE, "guid": "1", "enclosure_url": FILE}
    tablet.sync(play_statuses=[status(at=LATE, position=20) | newer])
    own = phone.sync(play_statuses=[status(at=EARLY, position=10) | older])
    assert own["data"]["play_statuses"] == [status(at=LATE, position=20) | older]
    [conflict] = own["conflicts"]
    assert (conflict["key"], named(conflict["server"])) == (ONE, named(older))
    assert tablet.sync()["data"]["play_statuses"] == [status(at=LATE, position=20) | newer]
    [kept] = listed(phone, "plays", "play_statuses")
    assert named(kept) == named(newer)


def test_a_file_is_joined_with_its_guid_once_a_device_sends_both(phone: Device, tablet: Device) -> None:
    phone.post("playlists", {"id": WALK, "name": "Walk"})
    of = {"rss_source_feed": feed(), "enclosure_url": FILE}
    phone.post(f"playlists/{WALK}/items", of)
    phone.post("plays", of | {"position": 30, "played": False, "played_at": EARLY})
    cursor = phone.sync()["cursor"]
    [entry] = phone.sync()["data"]["play_statuses"]
    assert (entry["guid"], entry["enclosure_url"]) == ("", FILE)
    tablet.sync(
        play_statuses=[
            status(at=LATE, position=40) | {"rss_source_item": ONE, "guid": "1", "enclosure_url": FILE}
        ]
    )
    changes = phone.sync(cursor)["data"]
    assert [named(one) for one in (*changes["play_statuses"], *changes["playlists"][0]["items"])] == [
        (ONE, "1", FILE)
    ] * 2
    [kept] = listed(phone, "plays", "play_statuses")
    assert (named(kept), kept["position"]) == ((ONE, "1", FILE), 40)
    assert [named(one) for one in listed(phone, f"playlists/{WALK}", "items")] == [(ONE, "1", FILE)]
    types = [one["type"] for one in document(phone.get("events"))["events"]]
    assert types[:2] == ["PlayRecorded", "EpisodeIdentified"]
    moved = document(phone.put(f"plays/{url_safe(b64(f',{FILE}'))}/position", {"position": 50}))
    assert (moved["play_status"]["guid"], moved["play_status"]["position"]) == ("1", 50)


def test_an_entry_whose_address_can_never_be_accepted_refuses_itself_alone(phone: Device) -> None:
    bad = {
        "credentials": {"rss_source_feed": b64("https://a:b@example.org/")},
        "scheme": {"enclosure_url": "rtmp://example.org/1", "guid": "1"},
        "too_long": {"rss_source_feed": b64("https://example.org/" + "ü" * 1_000)},
        "control_characters": {"guid": "od\x1bd"},
        "invalid_host": {"rss_source_item": b64("1,https://exa mple.org/")},
    }
    entries = [status(number) for number in range(1, 3)]
    odd = [{**status(), **{"guid": "g", "enclosure_url": FILE}, **change} for change in bad.values()]
    odd[-1] |= {"guid": None, "enclosure_url": None}
    inside = [{**status(1), "added_at": EARLY}, {**status(2), "added_at": EARLY, **bad["scheme"]}]
    answer = phone.sync(
        play_statuses=[entries[0], *odd, entries[1]],
        playlists=[{"id": WALK, "name": "Walk", "updated_at": EARLY, "items": inside}],
    )
    places = ("rss_source_feed", "enclosure_url", "rss_source_feed", "guid", "rss_source_item")
    expected = [
        (f"play_statuses.{number}.{place}", code)
        for number, (place, code) in enumerate(zip(places, bad, strict=True), 1)
    ]
    assert [(one["place"], one["code"]) for one in answer["refused"]] == [
        *expected,
        ("playlists.0.items.1.enclosure_url", "scheme"),
    ]
    assert all(one["detail"] for one in answer["refused"])
    assert [one["guid"] for one in answer["data"]["play_statuses"]] == ["episode-1", "episode-2"]
    assert [one["guid"] for one in answer["data"]["playlists"][0]["items"]] == ["episode-1"]


def test_any_other_fault_refuses_the_whole(phone: Device) -> None:
    odd = status(rss_source_feed=b64("https://a:b@example.org/"))
    body = {"play_statuses": [odd, status(position=-1), status(rss_source_item="*")], "privacy_settings": []}
    body["privacy_settings"] = [{"privacy": "private", "updated_at": EARLY, "rss_source_item": item()}]
    answer = phone.post("sync", body)
    assert (answer.status_code, set(faults(answer))) == (
        400,
        {
            "play_statuses.0.rss_source_feed",
            "play_statuses.1.position",
            "play_statuses.2.rss_source_item",
            "privacy_settings.0.rss_source_feed",
        },
    )
    assert phone.sync()["data"]["play_statuses"] == []


def test_an_entry_with_a_fault_beside_its_address_refuses_the_whole(phone: Device) -> None:
    odd = status(rss_source_feed=b64("https://a:b@example.org/"), position=-1)
    answer = phone.post("sync", {"play_statuses": [odd, status()]})
    assert (answer.status_code, set(faults(answer))) == (
        400,
        {"play_statuses.0.rss_source_feed", "play_statuses.0.position"},
    )
    assert phone.sync()["data"]["play_statuses"] == []


def test_an_import_leaves_out_the_same_entries(phone: Device) -> None:
    body = {
        "format": "balados-export",
        "version": 1,
        "play_statuses": [status(), status(rss_source_feed=b64("ftp://a"))],
    }
    answer = document(phone.post("import", body))
    assert (answer["recorded"], [one["code"] for one in answer["refused"]]) == (1, ["scheme"])


def test_what_is_exported_can_be_imported_whatever_its_names(phone: Device, tablet: Device) -> None:
    body = {"rss_source_feed": feed(), "position": 7, "played": False}
    phone.post("plays", body | {"guid": "a,http://b", "enclosure_url": "https://c.example/x,"})
    bring_up_to_date()
    export = document(phone.get("export"))
    assert document(tablet.post("import", export))["recorded"] == 0


def test_blanks_make_no_second_episode(phone: Device) -> None:
    for url in ("https://example.org/1.xml", " https://example.org/1.xml\n"):
        for text in (f"1,{FILE}", f" 1 , {FILE} "):
            phone.post("plays", play(rss_source_feed=b64(url), rss_source_item=b64(text)))
    assert len(phone.sync()["data"]["play_statuses"]) == 1


def test_the_second_60_of_a_minute_is_its_last(phone: Device) -> None:
    leap = "2016-12-31T23:59:60.5Z"
    answer = phone.sync(play_statuses=[status(at=leap)])
    assert answer["data"]["play_statuses"][0]["updated_at"] == "2016-12-31T23:59:59.999999Z"
    assert phone.get("plays?updated_since=2016-12-31T23:59:60Z").status_code == 200
