"""The quirks of the servers from which listeners move, and their faults."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.import_models import ServerImport
from accounts.models import User
from eventstore import undo
from eventstore.domain import messages
from eventstore.domain.identifiers import parts_of_item, url_of_feed
from feeds.imports import lists, stages
from feeds.imports import settings as settings_of
from feeds.imports.work import WAITS
from tests.feeds.origin import (
    Handler,
    Origin,
    answer,
    endless_body,
    raw,
    redirect,
    reset,
    status_only,
)
from tests.imports.importing import begin, bring, counts, events_of, go_on, report, state_of
from tests.imports.servers import PREFIX, Kind, Mygpo, Nextcloud, OPodSync, SyncServer, play

FEEDS = [f"https://shows.example/{number}.xml" for number in range(1, 4)]
DEVICES, EPISODES = "/api/2/devices/alice.json", "/api/2/episodes/alice.json"


def urls(user: User) -> set[str]:
    return {url_of_feed(feed) for feed, of in state_of(user).subscriptions.items() if of.active}


def positions(user: User) -> dict[str, int]:
    return {parts_of_item(of.item)[0]: of.position for of in state_of(user).plays.values()}


def error(row: ServerImport) -> str:
    row.refresh_from_db()
    assert bytes(row.password) == b"" or row.ended_at is None
    return row.error


def test_opodsync_tells_all_and_what_is_ahead_of_its_clock_again_and_again(origin: Origin, bob: User) -> None:
    server = OPodSync(origin)
    server.lists["phone"] = FEEDS
    future = play(3, at="2099-01-01T00:00:00Z")
    server.actions = [play(1), play(2, action="delete", device=None), future]
    progress = bring(bob, server.address)
    assert progress.stage == "done"
    assert counts(progress) == {"devices": (1, 0, 0), "podcasts": (3, 0, 0), "episodes": (3, 1, 0)}
    assert urls(bob) == set(FEEDS)
    assert state_of(bob).devices["phone"].caption == "My phone"
    clamped = [of for of in state_of(bob).plays.values() if of.skewed]
    assert [parts_of_item(of.item)[0] for of in clamped] == ["guid-1-3"]
    assert clamped[0].updated_at <= timezone.now()
    before = events_of(bob)
    assert [of.new for of in bring(bob, server.address).counts.values()] == [0] * 5
    assert events_of(bob) == before


def test_mygpo_is_read_device_by_device_and_page_by_page(origin: Origin, bob: User) -> None:
    server = Mygpo(origin)
    server.devices = [
        {"id": "phone", "caption": "My phone", "type": "mobile", "subscriptions": 2},
        {"id": "new", "caption": "", "type": "toaster", "subscriptions": 0},
        {"id": "../odd", "caption": "?", "type": "other"},
    ]
    server.lists = {
        "phone": [FEEDS[0], FEEDS[1], None, "ftp://old.example/feed", "https://me:p@w1@paid.example/x"]
    }
    server.actions = [
        play(number, started=None, guid=None, at=f"2025-03-01T12:{number:02}:00") for number in range(1, 26)
    ]
    server.actions[3] = play(4, action="new", started=None, position=None, total=None)
    server.page_size = 10
    server.settings = {
        "account": {"public_profile": True, "theme": "dark"},
        f"podcast:{FEEDS[0]}": {"speed": 1.5},
        "device:phone": {"x": "y" * 5_000},
    }
    server.favourites = [{"podcast_url": FEEDS[0], "url": "https://audio.example/1/1.mp3", "title": "T"}]
    progress = bring(bob, server.address)
    assert counts(progress) == {
        "devices": (2, 0, 1),
        "podcasts": (2, 0, 3),
        "episodes": (25, 0, 0),
        "settings": (2, 1, 0),
        "favourites": (1, 0, 0),
    }
    here = state_of(bob)
    assert urls(bob) == set(FEEDS[:2])
    assert here.settings["account"].values == {"theme": "dark"}
    assert here.privacy == {}
    assert [(row.kind, row.code, row.text) for row in progress.rows] == [
        ("devices", "device_name", "../odd"),
        ("podcasts", "too_short", "None"),
        ("podcasts", "scheme", "ftp://old.example/feed"),
        ("podcasts", "credentials", "https://…@paid.example/x"),
    ]
    assert server.asked.count(EPISODES) == 4


def test_a_nextcloud_is_found_and_what_it_calls_minus_one_is_nothing(origin: Origin, bob: User) -> None:
    server = Nextcloud(origin)
    server.lists["phone"] = FEEDS
    server.actions = [play(1), play(2, total=-1), {**play(3, action="delete"), "position": -1}]
    progress = bring(bob, server.address)
    assert (progress.flavour, progress.stage) == ("nextcloud", "done")
    assert counts(progress) == {"podcasts": (3, 0, 0), "episodes": (3, 0, 0)}
    assert positions(bob) == {"guid-1-1": 61, "guid-1-2": 62}
    assert [of.total for of in state_of(bob).plays.values()] == [600, None]
    before = events_of(bob)
    bring(bob, f"{server.address}{PREFIX}/subscriptions?since=0")
    assert events_of(bob) == before


def test_what_is_no_action_stops_no_other(origin: Origin, bob: User) -> None:
    server = OPodSync(origin)
    server.actions = [
        *(17, None, {}, [], play(1, action="dance"), play(2, at="yesterday"), play(3, position=1e300)),
        *(
            play(4, podcast="magnet:?x"),
            play(5, episode="https://a:b@x.example/1.mp3"),
            play(6, guid="\ud800"),
        ),
        *(play(7), play(8, at=None, device="no such name!")),
    ]
    progress = bring(bob, server.address)
    assert counts(progress)["episodes"] == (2, 0, 10)
    assert [row.number for row in progress.rows] == list(range(1, 11))
    assert positions(bob) == {"guid-1-7": 67, "guid-1-8": 68}
    before = events_of(bob)
    bring(bob, server.address)
    assert events_of(bob) == before


def test_an_episode_heard_a_hundred_times_is_not_heard_again(origin: Origin, bob: User) -> None:
    """An episode may have more plays than are remembered for it."""
    server = OPodSync(origin)
    server.actions = [
        play(1, at=f"2025-03-01T{number // 60:02}:{number % 60:02}:00Z", position=number, device=device)
        for number, device in enumerate(["phone", None] * 50)
    ]
    assert counts(bring(bob, server.address))["episodes"] == (100, 0, 0)
    before = events_of(bob)
    assert counts(bring(bob, server.address))["episodes"] == (0, 100, 0)
    assert events_of(bob) == before
    server.actions.append(play(1, at="2025-04-01T00:00:00Z", position=200))
    assert counts(bring(bob, server.address))["episodes"] == (1, 100, 0)
    assert positions(bob) == {"guid-1-1": 200}


def test_a_hundred_actions_of_one_second_or_of_none_are_not_taken_again(origin: Origin, bob: User) -> None:
    server = OPodSync(origin)
    same = [play(1, at="2025-03-01T12:00:00Z", position=number) for number in range(100)]
    untimed = [{**play(2, position=number), "timestamp": ""} for number in range(100)]
    server.actions = [*same, *untimed]
    first = counts(bring(bob, server.address))["episodes"]
    assert first[0] > 64, "more than is remembered"
    before = events_of(bob)
    assert counts(bring(bob, server.address))["episodes"] == (0, first[0] + first[1], first[2])
    assert events_of(bob) == before


def test_what_was_done_here_later_stays(origin: Origin, bob: User) -> None:
    server = OPodSync(origin)
    server.actions = [play(1)]
    bring(bob, server.address)
    later = OPodSync(origin)
    later.actions = [play(1, at="2025-03-02T00:00:00Z", position=300)]
    bring(bob, later.address)
    server.actions = [play(1), play(1, at="2025-02-01T00:00:00Z", position=5)]
    origin.otherwise(server._handle)
    bring(bob, server.address)
    assert positions(bob) == {"guid-1-1": 300}


def answering(path: str, handler: Handler) -> Callable[[SyncServer], None]:
    """Make a server answer this path in this way, once."""
    return lambda server: server.instead.update({path: [handler]})


FOUND: list[tuple[Kind, Callable[[SyncServer], None], str]] = [
    (Mygpo, answering(DEVICES, status_only(401)), "wrong_password"),
    (Mygpo, answering(DEVICES, status_only(403)), "wrong_password"),
    (Mygpo, answering(DEVICES, status_only(503)), "paused"),
    (Mygpo, answering(DEVICES, status_only(500)), "server_error"),
    (Mygpo, answering(DEVICES, reset()), "unreachable"),
    (Mygpo, answering(DEVICES, answer(b"<html>")), "no_server"),
    (Mygpo, answering(DEVICES, answer(b"[" * 9_999)), "no_server"),
    (Mygpo, answering(DEVICES, redirect(DEVICES)), "no_server"),
    (Nextcloud, lambda server: setattr(server, "has_app", False), "no_app"),
    (Nextcloud, answering(f"{PREFIX}/subscriptions", status_only(401)), "nextcloud_password"),
]


def test_who_looks_is_told_what_is_there(origin: Origin, bob: User) -> None:
    wrong = []
    for kind, change, code in FOUND:
        server = kind(origin)
        change(server)
        row = begin(bob, server.address)
        assert go_on(row) is None
        if error(row) != code:
            wrong.append((code, row.error))
    assert wrong == []
    assert not state_of(bob).subscriptions


def test_no_address_of_ours_is_asked_and_no_other_server_gets_the_password(
    origin: Origin, bob: User, settings: Settings
) -> None:
    Mygpo(origin).instead[DEVICES] = [redirect(f"http://localhost:{origin.port}/elsewhere")]
    row = begin(bob, origin.url(""))
    go_on(row)
    assert error(row) == "elsewhere"
    assert report(row).place == f"localhost:{origin.port}"
    assert [asked.path for asked in origin.requests] == [DEVICES]
    settings.FEED_ALLOW_NETWORKS = []
    for address in (origin.url(""), "http://10.0.0.1/", "http://169.254.169.254/", "http://[::1]/"):
        row = begin(bob, address)
        go_on(row)
        assert error(row) == "refused", address
    assert len(origin.requests) == 1
    row = begin(bob, "http://no-such-host.invalid/")
    go_on(row)
    assert error(row) == "unreachable"


def test_a_server_that_fails_in_the_middle_is_asked_again_from_there(origin: Origin, bob: User) -> None:
    server = Mygpo(origin)
    server.lists["phone"] = FEEDS
    server.actions = [play(number, at=f"2025-03-01T12:{number:02}:00Z") for number in range(1, 26)]
    server.page_size = 10
    page = answer(b'{"actions": [{"podcast": "https://sho')
    server.instead[EPISODES] = [status_only(500), status_only(429, ("Retry-After", "120")), page]
    row = begin(bob, server.address)
    assert go_on(row) == WAITS[0]
    assert report(row).fault == "server_error"
    assert ServerImport.objects.waiting(timezone.now()) == []
    assert ServerImport.objects.waiting(timezone.now() + WAITS[0]) == [row.pk]
    later = timezone.now() + timedelta(minutes=1)
    assert go_on(row, lambda: later) == timedelta(seconds=120)
    assert go_on(row, lambda: later + timedelta(minutes=3)) is None
    assert error(row) == "no_json"
    assert counts(report(row)) == {"devices": (1, 0, 0), "podcasts": (3, 0, 0)}
    assert counts(bring(bob, server.address))["episodes"] == (25, 0, 0)


def test_a_server_that_goes_on_failing_ends_it(origin: Origin, bob: User) -> None:
    server = Mygpo(origin)
    server.instead[EPISODES] = [reset() for _ in range(20)]
    row, moment = begin(bob, server.address), timezone.now()
    for wait in WAITS:
        assert go_on(row, lambda moment=moment: moment) == wait  # type: ignore[misc]
        moment += timedelta(minutes=20)
    assert go_on(row, lambda: moment) is None
    assert error(row) == "unreachable"


def test_a_history_that_is_too_large_is_asked_for_in_short(origin: Origin, bob: User) -> None:
    server = Mygpo(origin)
    server.actions = [play(1)]
    server.instead[EPISODES] = [endless_body()]
    progress = bring(bob, server.address)
    assert progress.is_short
    assert counts(progress)["episodes"] == (1, 0, 0)
    assert "aggregated=true" in [asked.path for asked in origin.requests if EPISODES in asked.path][1]


def test_settings_that_a_server_does_not_give_cost_nothing_else(origin: Origin, bob: User) -> None:
    server = Mygpo(origin)
    server.actions, server.settings = [play(1)], {"account": {"theme": "dark"}}
    device = "/api/2/settings/alice/device.json"
    server.instead[device] = [status_only(429) for _ in range(20)]
    row, moment = begin(bob, server.address), timezone.now()
    for wait in WAITS:
        assert go_on(row, lambda moment=moment: moment) == wait  # type: ignore[misc]
        moment += timedelta(minutes=20)
    assert go_on(row, lambda: moment) is None
    progress = report(row)
    assert (row.error, progress.stage, progress.missed) == ("", "done", ["settings"])
    assert counts(progress)["settings"] == (1, 0, 0)
    assert server.asked.count(device) == len(WAITS) + 1


def test_lists_without_end_are_cut_and_settings_asked_for_as_many_podcasts(
    origin: Origin, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_LISTED", 4)
    for module in (stages, settings_of):
        monkeypatch.setattr(module, "MOST_FEEDS", 2)
    server = Mygpo(origin)
    server.devices = [{"id": name} for name in ("phone", "desk", "car")]
    server.lists = {name: [f"https://{name}.example/{n}.xml" for n in range(3)] for name in ("phone", "desk")}
    server.settings = {"account": {"theme": "dark"}}
    progress = bring(bob, server.address)
    assert (counts(progress)["podcasts"], {row.code for row in progress.rows}) == ((2, 0, 2), {"too_many"})
    assert server.asked.count("/api/2/settings/alice/podcast.json") == 2
    assert "/api/2/subscriptions/alice/car.json" not in server.asked


def test_an_import_makes_no_more_scopes_of_settings_than_an_app_may(
    origin: Origin, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_of, "MOST_SCOPES", 2)
    server = Mygpo(origin)
    server.lists["phone"] = FEEDS
    server.settings = {"account": {"theme": "dark"}, **{f"podcast:{url}": {"speed": 1.5} for url in FEEDS}}
    assert counts(bring(bob, server.address))["settings"][0] == 2
    assert len(state_of(bob).settings) == 2


def test_an_answer_that_never_ends_or_never_comes_ends_here(origin: Origin, bob: User) -> None:
    server = Mygpo(origin)
    server.instead["/api/2/favorites/alice.json"] = [raw(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 99_999)]
    assert bring(bob, server.address).stage == "done"


def test_an_import_can_be_taken_back_as_what_one_device_did(origin: Origin, bob: User) -> None:
    server = OPodSync(origin)
    server.lists["phone"], server.actions = FEEDS, [play(1), play(2)]
    since = timezone.now()
    bring(bob, server.address)
    chosen = undo.Chosen(since=since, device_name=f"127.0.0.1:{origin.port}")
    undo.undo(bob.pk, chosen, messages.Origin(), timezone.now())
    assert urls(bob) == set()
    assert set(positions(bob).values()) <= {0}
