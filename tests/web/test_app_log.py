"""The page below /apps on which listeners, and nobody else, read what their podcast apps did lately."""

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import app_log, erasure
from accounts.app_log import Entry
from accounts.app_models import AppPassword
from accounts.models import User
from projections.erasure import erase_history
from tests.factories import PASSWORD
from tests.gpodder.apps import PodcastApp, basic, content_of, feed_url, play
from tests.gpodder.conftest import password_of
from tests.gpodder.nextcloud import NextcloudApp
from tests.web.counting import counting
from tests.web.people import Visitor, text_of

NOW = datetime(2026, 11, 20, 21, 15, tzinfo=UTC)


@pytest.fixture
def phone(alice: User) -> PodcastApp:
    return PodcastApp("alice", password_of(alice, "My phone"), "phone", agent="AntennaPod/3.11")


def path_of(user: User) -> str:
    return f"/apps/passwords/{AppPassword.objects.get(user=user).pk}/requests"


def lines_of(user: User) -> list[app_log.CountedEntry]:
    return app_log.read(user.pk, app_log.app_of(AppPassword.objects.get(user=user).pk, ""), datetime.now(UTC))


def test_it_tells_what_came_what_was_left_out_and_why(phone: PodcastApp, alice: User, bob: User) -> None:
    visitor = Visitor(alice)
    assert "Nothing lately" in text_of(visitor.get(path_of(alice)))
    phone.ask("POST", "/api/2/auth/alice/login.json")
    phone.upload_subscriptions([feed_url(1), feed_url(2), "antennapod_local:x", "https://a:b@example.org/1"])
    bad = [play(3, podcast="file:///music"), play(4, position="12x")]
    phone.upload(*(play(number) for number in range(28)), *bad)
    phone.upload(play(1))
    phone.ask("GET", "/api/2/updates/alice/unknown.json")
    page = text_of(visitor.get(path_of(alice)))
    for words in (
        "Signed in",
        "4 podcasts, 2 now followed, 2 left out",
        "antennapod_local:x</bdi> – not an http or https address",
        "https://…@example.org/1</bdi> – the address has a password in it",
        "28 plays, 28 of them new, 2 left out",
        "file:///music</bdi> – not an http or https address",
        "https://example.org/1/4.mp3</bdi> – a time in the episode is no whole number of seconds",
        "1 play, 1 of them known already",
        "Refused: there is no such thing here",
        "GET /api/2/updates/alice/unknown.json",
    ):
        assert words in page, words
    assert "a:b@" not in page
    (link,) = re.findall(r'href="(/history\?[^"]+)"', page)
    history = text_of(visitor.get(html.unescape(link)))
    assert "Followed" in history
    assert "Nothing found" not in history
    assert Visitor(bob).get(path_of(alice)).status_code == 404
    assert Visitor(alice).get(f"/apps/passwords/{alice.pk}/requests").status_code == 404
    assert path_of(alice) in text_of(visitor.get("/apps"))


def test_polls_with_nothing_new_are_one_line_and_no_row_of_postgresql(phone: PodcastApp, alice: User) -> None:
    phone.upload_subscriptions([feed_url(1)])
    since = phone.subscriptions()["timestamp"], phone.actions()["timestamp"]
    phone.subscriptions(since[0])
    with counting() as asked:
        phone.subscriptions(since[0])
        first = asked()
        for _ in range(5):
            phone.subscriptions(since[0])
            phone.actions(since[1])
        assert first <= 12
    found = {(line.entry.what, line.times) for line in lines_of(alice)[:2]}
    assert found == {("asked_podcasts", 7), ("asked_actions", 6)}
    assert "times since" in text_of(Visitor(alice).get(path_of(alice)))


def test_what_is_streamed_is_counted(phone: PodcastApp, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.gpodder.episodes.CHUNK", 4)
    phone.upload(*(play(number) for number in range(11)))
    content_of(phone.ask("GET", "/api/2/episodes/alice.json"))
    assert lines_of(alice)[0].entry.counts == {"sent": 11}


def test_a_wrong_password_is_told_where_the_app_is_known_and_nowhere_else(alice: User) -> None:
    app = PodcastApp("alice", PASSWORD, "desk", agent="gPodder/3.11.1")
    app.json("GET", "/api/2/devices/alice.json")
    for agent in ("gPodder/3.11.5", "gPodder/3.11.5", "curl/8"):
        headers = {"User-Agent": agent, "Authorization": basic("alice", "an old password")}
        assert (
            PodcastApp("", "", "").client.get("/api/2/devices/alice.json", headers=headers).status_code == 401
        )
    visitor = Visitor(alice)
    key = app_log.app_of(None, "gPodder/3.11.1").removeprefix("a:")
    path = f"/apps/programs/{key}/requests"
    apps = text_of(visitor.get("/apps"))
    assert path in apps
    assert '<p class="facts-line refusal">Refused: the password was wrong</p>' in apps
    page = text_of(visitor.get(path))
    assert "Refused: the password was wrong" in page
    assert "2 times since" in page
    assert "make an app password and put it in" in page
    assert app_log.apps(alice.pk).keys() == {f"a:{key}"}
    assert visitor.get("/apps/programs/unknown/requests").status_code == 404


def test_an_app_in_nextclouds_mode_has_a_log_too(alice: User) -> None:
    cloud = NextcloudApp("alice", password_of(alice), "", agent="AntennaPod/3.11")
    cloud.post("episode_action", [play(1, action="PLAY"), {"podcast": feed_url(1), "action": "PLAY"}])
    (line,) = lines_of(alice)
    assert line.entry.counts == {"plays": 1, "new": 1}
    assert len(line.entry.skipped) == 1


def test_lines_are_few_and_end_with_their_time_their_app_and_their_account(alice: User) -> None:
    row, _ = AppPassword.objects.issue(alice.pk, "", NOW)
    app = app_log.app_of(row.pk, "")
    for number in range(60):
        entry = Entry("sent_actions", {"new": number}, is_news=True)
        app_log.note(alice.pk, row.pk, "x", entry, NOW + timedelta(minutes=number))
    found = app_log.read(alice.pk, app, NOW)
    assert [line.entry.counts["new"] for line in found] == list(range(59, 9, -1))
    assert len(app_log.read(alice.pk, app, NOW + app_log.KEPT_FOR + timedelta(minutes=50))) == 9
    app_log.note(alice.pk, row.pk, "x", entry, NOW + app_log.KEPT_FOR + timedelta(minutes=50))
    assert len(app_log.read(alice.pk, app, NOW)) == 10
    app_log.delete_lines(alice.pk, row.pk)
    assert (app_log.read(alice.pk, app, NOW), app_log.apps(alice.pk)) == ([], {})
    app_log.note(alice.pk, row.pk, "x", entry, NOW)
    erasure.begin(alice.pk, NOW)
    erasure.complete(alice.pk, erase_history)
    assert (app_log.read(alice.pk, app, NOW), app_log.apps(alice.pk)) == ([], {})


def test_so_many_apps_have_a_log_and_one_that_is_over_makes_room(alice: User, settings: Settings) -> None:
    for number in range(app_log.MOST_APPS + 1):
        app_log.note(alice.pk, None, f"app {number}", Entry("signed_in"), NOW)
    found = [app.agent for app in app_log.apps(alice.pk).values()]
    assert (len(found), "app 100" in found) == (app_log.MOST_APPS, False)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        gone = app_log.app_of(None, "app 7")
        assert sum(client.delete(key) for key in client.scan_iter(f"*{gone}"))
    app_log.note(alice.pk, None, "app 100", Entry("signed_in"), NOW)
    found = [app.agent for app in app_log.apps(alice.pk).values()]
    assert (len(found), "app 100" in found) == (app_log.MOST_APPS, True)


def test_without_redis_apps_synchronise_all_the_same(
    phone: PodcastApp, alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.attempts._away_until", 0.0)
    settings.REDIS_URL = "unix:///nowhere"
    phone.upload_subscriptions([feed_url(1)])
    assert "Nothing lately" in text_of(Visitor(alice).get(path_of(alice)))
    monkeypatch.setattr("accounts.attempts._away_until", 0.0)
