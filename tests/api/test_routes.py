"""Rules for every route, found through the URL resolver: a new one fails here until it is added below."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from accounts.scopes import SCOPES, allows
from api import documents
from api.auth import ANY_GRANT
from tests.api.devices import Device, code_of, count_events, document, feed, item, play, unharmed, url_safe
from tests.apps import App
from tests.factories import PlayTokenFactory

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
LIST, BOBS_LIST = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
ONE_PLAYLIST, ONE_COLLECTION = "playlists/<str:playlist_id>", "collections/<str:collection_id>"
AN_ITEM, A_FEED = {"rss_source_feed": feed(), "rss_source_item": item()}, {"rss_source_feed": feed()}


class Call(NamedTuple):
    """The scope that a route requires, an address with every id in it, and a valid body."""

    scope: str
    address: str
    body: object = None


# Every route with the scope that it needs, written out: a view that requires less, or another, fails here.
CALLS: dict[tuple[str, str], Call] = {
    ("GET", "me"): Call(ANY_GRANT, "me"),
    ("PATCH", "me"): Call("user.subscriptions.write", "me", {"follow_moves": False}),
    ("GET", "subscriptions"): Call("user.subscriptions.read", "subscriptions"),
    ("POST", "subscriptions"): Call("user.subscriptions.write", "subscriptions", A_FEED),
    ("DELETE", "subscriptions/<path:feed>"): Call("user.subscriptions.write", f"subscriptions/{feed()}"),
    ("GET", "subscriptions/<path:feed>/metadata"): Call(
        "user.subscriptions.read", f"subscriptions/{feed()}/metadata"
    ),
    ("GET", "subscriptions/<path:feed>/episodes"): Call(
        "user.subscriptions.read", f"subscriptions/{feed()}/episodes"
    ),
    ("POST", "subscriptions/<path:feed>/refresh"): Call(
        "user.subscriptions.write", f"subscriptions/{feed()}/refresh"
    ),
    ("GET", "statistics"): Call("user.plays.read", "statistics"),
    ("GET", "search"): Call("user.subscriptions.read", "search?q=radio"),
    ("GET", "subscriptions.opml"): Call("user.subscriptions.read", "subscriptions.opml"),
    ("POST", "subscriptions.opml"): Call("user.subscriptions.write", "subscriptions.opml", b"<opml/>"),
    ("GET", "plays"): Call("user.plays.read", "plays"),
    ("POST", "plays"): Call("user.plays.write", "plays", play()),
    ("PUT", "plays/<path:item>/position"): Call(
        "user.plays.write", f"plays/{item()}/position", {"position": 7}
    ),
    ("GET", "episodes/saved"): Call("user.plays.read", "episodes/saved"),
    ("POST", "episodes/<path:item>/save"): Call("user.plays.write", f"episodes/{item()}/save", A_FEED),
    ("DELETE", "episodes/<path:item>/save"): Call("user.plays.write", f"episodes/{item()}/save"),
    ("GET", "episodes/<path:item>/chapters"): Call("user.plays.read", f"episodes/{item()}/chapters"),
    ("GET", "episodes/<path:item>/transcript"): Call("user.plays.read", f"episodes/{item()}/transcript"),
    ("POST", "episodes/<path:item>/share"): Call("user.plays.write", f"episodes/{item()}/share", A_FEED),
    ("GET", "playlists"): Call("user.playlists.read", "playlists"),
    ("POST", "playlists"): Call("user.playlists.write", "playlists", {"name": "Walk"}),
    ("GET", ONE_PLAYLIST): Call("user.playlists.read", f"playlists/{LIST}"),
    ("PATCH", ONE_PLAYLIST): Call("user.playlists.write", f"playlists/{LIST}", {"name": "Run"}),
    ("DELETE", ONE_PLAYLIST): Call("user.playlists.write", f"playlists/{LIST}"),
    ("POST", f"{ONE_PLAYLIST}/items"): Call("user.playlists.write", f"playlists/{LIST}/items", AN_ITEM),
    ("DELETE", f"{ONE_PLAYLIST}/items"): Call("user.playlists.write", f"playlists/{LIST}/items"),
    ("DELETE", f"{ONE_PLAYLIST}/items/<path:item>"): Call(
        "user.playlists.write", f"playlists/{LIST}/items/{item()}"
    ),
    ("PUT", f"{ONE_PLAYLIST}/order"): Call(
        "user.playlists.write", f"playlists/{LIST}/order", {"items": [AN_ITEM]}
    ),
    ("GET", "collections"): Call("user.collections.read", "collections"),
    ("POST", "collections"): Call(
        "user.collections.write", "collections", {"name": "Gym", "color": "#2f6f4e"}
    ),
    ("GET", ONE_COLLECTION): Call("user.collections.read", f"collections/{LIST}"),
    ("PATCH", ONE_COLLECTION): Call("user.collections.write", f"collections/{LIST}", {"name": "Mix"}),
    ("DELETE", ONE_COLLECTION): Call("user.collections.write", f"collections/{LIST}"),
    ("POST", f"{ONE_COLLECTION}/feeds"): Call("user.collections.write", f"collections/{LIST}/feeds", A_FEED),
    ("DELETE", f"{ONE_COLLECTION}/feeds/<path:feed>"): Call(
        "user.collections.write", f"collections/{LIST}/feeds/{feed()}"
    ),
    ("PUT", f"{ONE_COLLECTION}/order"): Call(
        "user.collections.write", f"collections/{LIST}/order", {"feeds": [A_FEED]}
    ),
    ("GET", "privacy"): Call("user.privacy.read", "privacy"),
    ("PUT", "privacy"): Call("user.privacy.write", "privacy", {"privacy": "anonymous"}),
    ("DELETE", "privacy"): Call("user.privacy.write", "privacy"),
    ("GET", "devices"): Call("user.read", "devices"),
    ("GET", "episode_actions"): Call("user.plays.read", "episode_actions"),
    ("GET", "settings"): Call("user.read", "settings"),
    ("GET", "held_removals"): Call("user.subscriptions.read", "held_removals"),
    ("POST", "held_removals"): Call(
        "user.subscriptions.write", "held_removals", {"feeds": [feed()], "confirm": True}
    ),
    ("GET", "events"): Call("user.read", "events"),
    ("POST", "events/<str:event_id>/undo"): Call("user.write", f"events/{LIST}/undo", {}),
    ("POST", "undo"): Call(
        "user.write", "undo", {"device_id": "phone-1", "since": "2026-05-01T12:00:00Z", "dry_run": True}
    ),
    ("GET", "export"): Call("user.read", "export"),
    ("POST", "import"): Call("user.write", "import", {"format": "balados-export", "version": 1}),
    ("GET", "tokens"): Call("user.write", "tokens"),
    ("POST", "tokens"): Call("user.write", "tokens", {"name": "Kitchen radio"}),
    ("DELETE", "tokens/<str:token_id>"): Call("user.write", "tokens/1"),
    ("POST", "removals"): Call("user.write", "removals", {"feed": feed()}),
    ("POST", "sync"): Call("user.sync", "sync", {}),
    ("GET", "apps"): Call(ANY_GRANT, "apps"),
    ("DELETE", "apps/<path:app_id>"): Call(ANY_GRANT, "apps/org.example.castaway"),
}
# open to everybody
PUBLIC = {
    "public/trending/podcasts",
    "public/trending/episodes",
    "public/podcast/<path:feed>/popularity",
    "public/episode/<path:item>/popularity",
    "public/timeline",
    "live",
    "rss/proxy/<path:feed>",
    "rss/proxy/<path:feed>/<path:item>",
}


class Route(NamedTuple):
    path: str
    view: Any


def routes(resolver: URLResolver | None = None, path: str = "") -> Iterator[Route]:
    """Yield every route of the instance."""
    for pattern in (resolver or get_resolver()).url_patterns:
        here = path + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, here)
        elif isinstance(pattern, URLPattern):
            yield Route(here, pattern.callback)


def api_routes() -> list[Route]:
    """Return the routes of our own API; those for podcast apps are tested in tests/gpodder/test_routes.py."""
    return [route for route in routes() if route.path.startswith("api/") and hasattr(route.view, "cls")]


def scopes() -> dict[tuple[str, str], str]:
    """Return the scope, as the views say, of every method and path below v1 that needs one."""
    return {
        (method, route.path.removeprefix("api/v1/")): scope
        for route in api_routes()
        if not route.view.cls.public
        for method, scope in route.view.cls.scopes.items()
    }


@pytest.mark.parametrize("route", api_routes(), ids=lambda route: route.path)
def test_every_route_declares_a_scope_for_each_method_or_is_public(route: Route) -> None:
    view = route.view.cls
    handled = {method for method in METHODS if hasattr(view, method.lower())}
    if view.public:
        known = ("api.documents", "api.views", "api.v1.public", "api.v1.proxy", "api.v1.live")
        assert route.view.cls.__module__ in known
    else:
        assert set(view.scopes) == handled
        assert set(view.scopes.values()) <= {*SCOPES, ANY_GRANT}


def test_the_public_ones_are_known() -> None:
    public = {route.path for route in api_routes() if route.view.cls.public}
    assert public == {"api/schema/", "api/docs/", "api/", *(f"api/v1/{path}" for path in PUBLIC)}


def test_a_method_without_a_scope_is_closed(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.v1.me import MeView

    monkeypatch.setattr(MeView, "scopes", {})
    answer = phone.get("me")
    assert answer.status_code == 403


def test_every_route_asks_for_the_scope_that_stands_here() -> None:
    assert scopes() == {route: call.scope for route, call in CALLS.items()}


@pytest.mark.parametrize("granted", SCOPES)
def test_each_scope_opens_what_it_includes_and_nothing_else(alice: User, granted: str) -> None:
    app = App()
    app.grant(alice, [granted])
    device = Device(alice.pk, app)
    # the last of them revokes the app
    for (method, path), (scope, *_) in CALLS.items():
        answer = call(device, method, path)
        if scope is ANY_GRANT or allows([granted], scope):
            # 404 means let in, but the object does not exist
            assert answer.status_code in (200, 201, 404, 422), (method, path, answer.content)
        else:
            assert answer.status_code == 403, (method, path)
            assert code_of(answer) == "scope_missing"
            assert f"scope {scope}." in document(answer)["errors"][0]["detail"]


def test_every_route_refuses_those_who_are_nobody(charlie: User) -> None:
    for method, path in CALLS:
        assert call(Device(charlie.pk), method, path).status_code == 401, (method, path)
    assert count_events() == 0


# saving an episode has the same result for everybody, whoever else has saved it
OF_SOMEBODY = [case for case in CALLS if "<" in case[1] and not case[1].startswith("episodes/")]


def test_the_ids_of_another_are_the_ids_of_nobody(phone: Device, bobs: Device) -> None:
    """Bob has the feed, the episode, a playlist and a collection, an app and a player; Alice gets the same
    answer for their ids as for random ones."""
    bobs.post("subscriptions", {"rss_source_feed": feed(5)})
    bobs.post("plays", play(5))
    for lists in ("playlists", "collections"):
        assert bobs.post(lists, {"id": BOBS_LIST, "name": "Bob's"}).status_code == 201
    bob = User.objects.get(username="bob")
    App(iss="org.example.bobs").grant(bob)
    radio = PlayTokenFactory.create(user=bob, name="Bob's radio")
    of_bob = {"feed": feed(5), "item": item(5), "app_id": "org.example.bobs", "token_id": str(radio.pk)}
    of_bob |= {"playlist_id": BOBS_LIST, "collection_id": BOBS_LIST}
    of_bob["event_id"] = document(bobs.get("events?limit=1"))["events"][0]["event_id"]
    of_nobody = {"feed": feed(6), "item": item(6), "app_id": "org.example.none", "token_id": "999999"}
    of_nobody |= {"playlist_id": LIST, "collection_id": LIST, "event_id": LIST}
    for method, path in OF_SOMEBODY:
        with unharmed(phone):
            one, other = (_fill(phone, method, path, ids) for ids in (of_bob, of_nobody))
        assert one.status_code == other.status_code, (method, path)
        assert one.status_code in (404, 422), (method, path)
        assert one.content == other.content, (method, path)
    assert bobs.get("me").status_code == 200
    assert Device(bobs.user_id, App(iss="org.example.bobs")).get("me").status_code == 200


def test_lists_hold_nothing_of_another(phone: Device, bobs: Device) -> None:
    bobs.post("plays", play(5))
    mine = phone.sync()
    assert set(map(bool, mine["data"].values())) == {False}


def test_what_is_no_address_is_404_in_the_shape_of_errors(phone: Device) -> None:
    with unharmed(phone):
        for path in ("", "nope", "me/", "plays/", "plays//position", "../admin/", "%00", "me%00"):
            for method in METHODS:
                answer = phone.send(method, path)
                assert answer.status_code == 404, (method, path)
                assert code_of(answer) == "not_found"


def test_what_no_method_is_meant_for_is_405(phone: Device) -> None:
    with unharmed(phone):
        for path in ("subscriptions", "plays", "sync", "apps", f"apps/{url_safe(feed())}"):
            answer = phone.send("PATCH", path, b"{}")
            assert answer.status_code == 405, path
            assert code_of(answer) == "method_not_allowed"
            assert "PATCH" not in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        f"subscriptions/{feed()}/nothing",
        f"plays/{item()}/position/nothing",
        f"plays/{item()}/nothing/position",
        f"episodes/{item()}/nothing",
        f"episodes/{item()}/save/nothing",
        f"playlists/{LIST}/nothing",
        f"playlists/{LIST}/items/{item()}/nothing",
        f"collections/{LIST}/order/nothing",
        f"collections/{LIST}/feeds/{feed()}/nothing",
        "tokens/1/nothing",
        "privacy/nothing",
    ],
)
def test_a_path_below_a_known_object_that_is_none_is_404(phone: Device, path: str) -> None:
    phone.post("playlists", {"id": LIST, "name": "Walk"})
    phone.post("collections", {"id": LIST, "name": "Gym"})
    for method in ("GET", "PATCH"):
        answer = phone.send(method, path, b"{}")
        assert (answer.status_code, code_of(answer)) == (404, "not_found"), method


@pytest.mark.parametrize(
    ("path", "methods"),
    [("plays", "GET, POST, HEAD, OPTIONS"), ("sync", "POST, OPTIONS"), ("apps/x", "DELETE, OPTIONS")],
)
def test_OPTIONS_names_the_methods_of_an_address(path: str, methods: str) -> None:
    answer = Client().options(f"/api/v1/{path}")
    assert answer.status_code == 204
    assert answer.headers["Allow"] == methods


def test_HEAD_answers_as_GET_does(phone: Device) -> None:
    answer = phone.send("HEAD", "plays")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["Balados-Position"] == "0"


def test_the_schema_describes_every_scoped_route_and_every_public_list() -> None:
    described = json.loads(documents.document())["paths"]
    routes = [*CALLS, *(("GET", path) for path in PUBLIC)]
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} == {
        (method, "/api/v1/" + re.sub("<[a-z]+:([a-z_]+)>", r"{\1}", path)) for method, path in routes
    }


def test_the_schema_names_what_the_HTTP_server_refuses_by_itself() -> None:
    for path, methods in json.loads(documents.document())["paths"].items():
        for method, described in methods.items():
            assert {"400", "414", "431"} <= described["responses"].keys(), (method, path)


def call(device: Device, method: str, path: str) -> Any:
    _, address, body = CALLS[method, path]
    return _send(device, method, address, body)


def _fill(device: Device, method: str, path: str, ids: dict[str, str]) -> Any:
    body = CALLS[method, path].body
    for name, value in ids.items():
        path = re.sub(f"<[a-z]+:{name}>", value, path)
    return _send(device, method, path, body)


def _send(device: Device, method: str, path: str, body: object) -> Any:
    if body is None:
        return device.send(method, path)
    if isinstance(body, bytes):
        return device.send(method, path, body, "text/x-opml")
    by = {"POST": device.post, "PUT": device.put, "PATCH": device.patch}
    return by[method](path, body)
