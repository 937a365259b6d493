"""Devices, settings, groups, lists and the directory; and no route fails, whatever the request."""

from typing import Any

import pytest
from django.test import Client

from accounts import app_login
from accounts.app_models import AppPassword
from accounts.models import User
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import feed_of_url
from tests.api.devices import Device, document
from tests.apps import App
from tests.feeds.known import known_feed
from tests.gpodder.apps import PodcastApp, basic, content_of, feed_url, play
from tests.projecting import bring_up_to_date

DEVICE = "/api/2/devices/alice/phone.json"
EPISODE = (
    "/api/2/settings/alice/episode.json?podcast=https://example.org/1.xml&episode=https://example.org/1/1.mp3"
)
ROUTES = [
    "/api/2/auth/alice/login.json",
    DEVICE,
    "/api/2/devices/alice.json",
    "/api/2/subscriptions/alice/phone.json",
    "/api/2/updates/alice/phone.json",
    "/api/2/episodes/alice.json",
    "/api/2/settings/alice/account.json",
    "/api/2/settings/alice/device.json?device=phone",
    EPISODE,
    "/api/2/sync-devices/alice.json",
    "/api/2/favorites/alice.json",
    "/subscriptions/alice/phone.txt",
    "/subscriptions/alice/phone.json",
    "/subscriptions/alice.opml",
    "/suggestions/10.json",
]
OPEN = [
    "/api/2/lists/alice.json",
    "/api/2/lists/alice/list/x.json",
    "/toplist/10.json",
    "/toplist.opml",
    "/search.json?q=radio",
    "/api/2/tags/10.json",
    "/api/2/tag/news/10.json",
    "/api/2/data/podcast.json?url=https://example.org/1.xml",
    "/api/2/data/episode.json?podcast=https://example.org/1.xml&url=https://example.org/1.mp3",
    "/clientconfig.json",
]
BODIES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"{",
    b"\xff",
    b'{"set":[]}',
    b'{"synchronize":1}',
    b'{"caption":7}',
    b"[1]",
]


def test_no_route_fails_whatever_comes(phone: PodcastApp) -> None:
    phone.json("POST", "/api/2/auth/alice/login.json")
    for path in (*ROUTES, *OPEN):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            for body in BODIES if method in ("POST", "PUT") else BODIES[:1]:
                answer = phone.ask(method, path, body)
                content_of(answer)
                assert answer.status_code in (200, 400, 404, 405), (method, path, body, answer.status_code)
                assert answer["Cache-Control"] == "no-store"
                assert answer["Access-Control-Allow-Origin"] == "*"
                assert "ETag" not in answer


def test_every_route_is_its_owners_alone(phone: PodcastApp, bobs: PodcastApp, alice: User) -> None:
    for path in ROUTES:
        method = "POST" if path == DEVICE or "login" in path else "GET"
        assert Client().generic(method, path).status_code == 401, path
        if "alice" in path:
            assert bobs.ask(method, path).status_code == 400, path
    for path in OPEN:
        assert Client().get(path).status_code in (200, 404), path
    phone.ask("GET", "/api/2/devices/alice.json")
    cookie = phone.client.cookies["sessionid"].value
    app_login.revoke(alice.pk, AppPassword.objects.get(user=alice).pk)
    for path in ROUTES:
        method = "POST" if path == DEVICE or "login" in path else "GET"
        for headers in ({"Cookie": f"sessionid={cookie}"}, {"Authorization": basic("alice", phone.password)}):
            answer = Client().generic(method, path, headers=headers)
            assert (answer.status_code, answer["Cache-Control"]) == (401, "no-store"), (path, headers)
            assert "WWW-Authenticate" in answer


def test_a_device_is_registered_and_called_as_it_says(phone: PodcastApp) -> None:
    assert content_of(phone.ask("POST", DEVICE)) == b""
    (known,) = phone.json("GET", "/api/2/devices/alice.json")
    assert known == {"id": "phone", "caption": "phone", "type": "other", "subscriptions": 0}
    phone.ask("PUT", DEVICE, {"caption": "  My phone ", "type": "mobile"})
    phone.ask("POST", DEVICE, {"caption": "x" * 300})
    phone.upload_subscriptions([feed_url(1)])
    (known,) = phone.json("GET", "/api/2/devices/alice.json")
    assert known == {"id": "phone", "caption": "x" * 255, "type": "mobile", "subscriptions": 1}
    bad: list[Any] = [{"caption": " "}, {"type": "toaster"}, [], {"caption": 7}]
    for body in bad:
        assert phone.ask("POST", DEVICE, body).status_code == 400
    for name in ("a b", "..%2Fx", "x" * 300):
        assert phone.ask("POST", f"/api/2/devices/alice/{name}.json").status_code == 404


def test_a_device_is_registered_by_its_first_request_or_action(phone: PodcastApp, desk: PodcastApp) -> None:
    phone.subscriptions()
    desk.upload(play(1, device="tablet"))
    names = [one["id"] for one in phone.json("GET", "/api/2/devices/alice.json")]
    assert names == ["phone", "tablet"]
    path = "/api/2/sync-devices/alice.json"
    assert phone.json("GET", path) == {"synchronized": [["phone", "tablet"]], "not-synchronized": []}
    for body in ({}, {"synchronize": [["phone"]]}, {"stop-synchronize": ["tablet"]}):
        assert phone.json("POST", path, body)["synchronized"] == [["phone", "tablet"]]
    assert phone.ask("POST", path, {"synchronize": [["phone", "unknown"]]}).status_code == 404


@pytest.mark.parametrize(
    "scope", ["account.json", "device.json?device=phone", "podcast.json?podcast=http://e.org/1"]
)
def test_settings_are_kept_by_scope(phone: PodcastApp, scope: str) -> None:
    path = f"/api/2/settings/alice/{scope}"
    phone.ask("POST", DEVICE)
    assert phone.json("POST", path, {"set": {"a": 1, "b": [None, {"c": "é"}]}}) == {
        "a": 1,
        "b": [None, {"c": "é"}],
    }
    assert phone.json("POST", path, {"remove": ["a", "z"]}) == {"b": [None, {"c": "é"}]}
    assert phone.json("GET", path) == {"b": [None, {"c": "é"}]}
    many: dict[str, Any] = {str(number): 1 for number in range(257)}
    for values in ({"x" * 256: 1}, {"": 1}, {"a": "x" * 5_000}, many, {"a": "\ud800"}, {"a": "\0"}):
        assert phone.ask("POST", path, {"set": values}).status_code == 400
    assert phone.json("GET", path) == {"b": [None, {"c": "é"}]}


def test_scopes_that_there_are_not(phone: PodcastApp) -> None:
    for scope, status in (
        ("planet.json", 404),
        ("device.json", 400),
        ("device.json?device=unknown", 404),
        ("podcast.json", 400),
        ("episode.json?podcast=http://e.org/1", 400),
    ):
        assert phone.ask("GET", f"/api/2/settings/alice/{scope}").status_code == status


def test_a_favourite_is_a_saved_episode_both_ways(phone: PodcastApp, alice: User) -> None:
    phone.upload(play(1))
    assert phone.json("POST", EPISODE, {"set": {"is_favorite": True}}) == {"is_favorite": True}
    (saved,) = state_of(alice.pk).user.saved.values()
    (favourite,) = phone.json("GET", "/api/2/favorites/alice.json")
    assert favourite["url"] == "https://example.org/1/1.mp3"
    assert favourite["podcast_url"] == feed_url(1)
    assert set(favourite) == {
        "title",
        "url",
        "podcast_title",
        "podcast_url",
        "description",
        "website",
        "released",
        "mygpo_link",
    }
    App().grant(alice)
    own = Device(alice.pk)
    own.delete(f"episodes/{saved.item}/save?feed={saved.feed}")
    assert phone.json("GET", EPISODE) == {}


def test_public_settings_are_privacy(phone: PodcastApp, alice: User) -> None:
    path = "/api/2/settings/alice/podcast.json?podcast=https://example.org/1.xml"
    phone.json("POST", path, {"set": {"public_subscription": True}})
    privacy = state_of(alice.pk).user.privacy
    assert privacy[f"feed:{feed_of_url(feed_url(1))}"].level == "public"


def test_lists_are_collections_that_are_public(phone: PodcastApp, alice: User) -> None:
    App().grant(alice)
    own = Device(alice.pk)
    known_feed(feed_url(1))
    phone.upload_subscriptions([feed_url(1)])
    for name, is_public in (("Été & Co", True), ("Secret", False)):
        made = document(own.post("collections", {"name": name, "is_public": is_public}))["collection"]["id"]
        own.post(f"collections/{made}/feeds", {"rss_source_feed": feed_of_url(feed_url(1))})
    listed = Client().get("/api/2/lists/alice.json").json()
    assert [(one["title"], one["name"]) for one in listed] == [("Été & Co", "ete-co")]
    assert {one["name"] for one in phone.json("GET", "/api/2/lists/alice.json")} == {"ete-co", "secret"}
    assert Client().get("/api/2/lists/alice/list/ete-co.txt").content.decode().split() == [feed_url(1)]
    assert Client().get("/api/2/lists/alice/list/secret.txt").status_code == 404
    assert Client().get("/api/2/lists/nobody.json").status_code == 404
    assert phone.ask("POST", "/api/2/lists/alice/list/ete-co.txt").status_code == 405


def test_the_directory_has_what_is_public_alone(phone: PodcastApp, bobs: PodcastApp) -> None:
    phone.upload_subscriptions([feed_url(1), "https://example.org/2.xml?token=0123456789abcdef0123"])
    bobs.upload_subscriptions([feed_url(3)])
    phone.json("POST", "/api/2/settings/alice/account.json", {"set": {"public_profile": True}})
    bring_up_to_date()
    for path in ("/toplist.json", "/toplist/100.json", "/search.json?q=x", "/api/2/tags/5.json"):
        shown = Client().get(path).content.decode()
        assert "token" not in shown
        assert feed_url(3) not in shown
    assert Client().get("/toplist/101.json").status_code == 400
    assert Client().get("/search.json").status_code == 400
    assert Client().get("/api/2/data/podcast.json").status_code == 400


def test_updates_name_what_changed_in_both_spellings(phone: PodcastApp, desk: PodcastApp) -> None:
    since = desk.subscriptions()["timestamp"]
    phone.upload_subscriptions([feed_url(1), feed_url(2)])
    phone.upload_subscriptions([], [feed_url(2)])
    answer = desk.json("GET", f"/api/2/updates/alice/desk.json?since={since}")
    assert [one["url"] for one in answer["add"]] == [feed_url(1)]
    assert answer["remove"] == answer["rem"] == [feed_url(2)]
    assert answer["updates"] == []
    assert phone.ask("GET", "/api/2/updates/alice/unknown.json").status_code == 404


def test_what_is_not_offered_is_not_found(phone: PodcastApp) -> None:
    for path in ("/api/2/chapters/alice.json", "/api/3/devices/alice.json", "/api/2/nothing", "/api/2/"):
        assert phone.ask("GET", path).status_code == 404
    for path in ("/api/1/devices/alice.json", "/api/1/subscriptions/alice/phone.json"):
        assert phone.ask("GET", path).status_code == 200
