"""Sync in the protocol of Nextcloud's gpodder app, and login flow v2."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import app_login
from accounts.app_models import AppPassword, LoginFlow, SyncMark
from accounts.models import User
from api import nextcloud
from eventstore.dispatcher import state_of
from tests.factories import UserFactory
from tests.gpodder.apps import PodcastApp, basic, feed_url, play
from tests.gpodder.conftest import password_of
from tests.gpodder.nextcloud import BASE, NextcloudApp, check_play
from tests.web.people import Visitor, text_of

AGENT = "AntennaPod/3.11"


@pytest.fixture
def cloud(alice: User) -> NextcloudApp:
    return NextcloudApp("alice", password_of(alice), "", agent=AGENT)


def test_the_four_calls_have_the_shapes_of_nextclouds(cloud: NextcloudApp, alice: User) -> None:
    assert cloud.post("subscription_change", {"add": [feed_url(1), feed_url(2)], "remove": []})
    cloud.post("subscription_change", {"add": [], "remove": [feed_url(2)]})
    cloud.post(
        "episode_action",
        [
            play(1, action="PLAY", started=-1, total=-1, position=30),
            play(2, action="Play"),
            play(3, action="DELETE", started=-1, position=-1, total=-1),
            play(4, action="DOWNLOAD"),
            {"podcast": feed_url(1), "action": "PLAY"},
            17,
        ],
    )
    feeds = cloud.get("subscriptions")
    assert feeds.keys() == {"add", "remove", "timestamp"}
    assert (feeds["add"], feeds["remove"]) == ([feed_url(1)], [])
    answer = cloud.get("episode_action")
    assert answer.keys() == {"actions", "timestamp"}
    assert [action["guid"] for action in answer["actions"]] == ["episode-1-1", "episode-1-2"]
    for action in answer["actions"]:
        check_play(action)
    # the app password serves as the device, named after the app's User-Agent
    (name, device), *others = state_of(alice.pk).user.devices.items()
    assert (name[:3], device.caption, others) == ("nc-", AGENT, [])
    short = NextcloudApp("alice", cloud.password, "", agent=AGENT, base="/apps/gpoddersync")
    assert short.get("subscriptions")["add"] == [feed_url(1)]


def test_bad_requests_are_told_and_odd_addresses_stop_nothing(cloud: NextcloudApp) -> None:
    odd = ["antennapod_local:x", "https://example.org/" + "x" * 600, 17]
    cloud.post("subscription_change", {"add": [feed_url(1), *odd], "remove": []})
    assert len(cloud.get("subscriptions", 0)["add"]) == 2
    for path, body in (
        ("subscription_change/create", []),
        ("subscription_change/create", {"add": "x"}),
        ("episode_action/create", {}),
        ("episode_action/create", b"{"),
    ):
        assert cloud.ask("POST", f"{BASE}/{path}", body).status_code == 400, (path, body)
    assert cloud.ask("GET", f"{BASE}/subscriptions?since=-1").status_code == 400
    assert cloud.ask("GET", f"{BASE}/nothing").status_code == 404
    assert cloud.ask("DELETE", f"{BASE}/subscriptions").status_code == 405


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_nothing_is_lost_to_an_app_that_sends_its_own_clock(
    alice: User, desk: PodcastApp, hours: int
) -> None:
    skewed = NextcloudApp("alice", password_of(alice), "", agent=AGENT, behind=timedelta(hours=hours))
    desk.upload_subscriptions([feed_url(9)])
    for number in range(1, 4):
        now = datetime.now(UTC)
        skewed.sync(now, follow=feed_url(number), play=play(1, feed=number))
        # podcasts and episodes change at once, then episodes alone
        desk.upload_subscriptions([feed_url(10 + number)], [feed_url(9)] if number == 2 else [])
        desk.upload(play(2, feed=number))
        skewed.sync(now, follow=feed_url(20 + number))
        desk.upload(play(3, feed=number))
    skewed.sync(datetime.now(UTC))
    expected = {feed_url(number) for number in (*range(1, 4), *range(11, 14), *range(21, 24))}
    assert skewed.followed == expected
    assert skewed.heard == {f"episode-{feed}-{number}" for feed in range(1, 4) for number in range(1, 4)}


def test_what_one_flavour_wrote_the_other_reads(cloud: NextcloudApp, phone: PodcastApp) -> None:
    phone.upload_subscriptions([feed_url(1)])
    phone.upload(play(1))
    assert cloud.get("subscriptions", 0)["add"] == [feed_url(1)]
    assert [action["guid"] for action in cloud.get("episode_action", 0)["actions"]] == ["episode-1-1"]
    cloud.post("subscription_change", {"add": [feed_url(2)], "remove": [feed_url(1)]})
    cloud.post("episode_action", [play(1, position=120, at="2026-05-02T12:00:00", action="PLAY")])
    answer = phone.subscriptions(since=1)
    assert feed_url(2) in answer["add"]
    assert phone.actions()["actions"][-1]["position"] == 120


def test_a_guid_stays_and_two_of_one_file_are_two(cloud: NextcloudApp, alice: User) -> None:
    without = play(1, action="PLAY", at="2026-05-02T12:00:00", position=120)
    del without["guid"]
    cloud.post("episode_action", [play(1, action="PLAY")])
    cloud.post("episode_action", [without])
    received = cloud.get("episode_action", 0)["actions"]
    assert {(one["guid"], one["position"]) for one in received} == {("episode-1-1", 60), ("episode-1-1", 120)}
    file = play(2)["episode"]
    cloud.post("episode_action", [play(number, action="PLAY", episode=file) for number in (2, 3)])
    # without a GUID it is unknown which of the two was played: both stay as they are
    more = play(2, action="PLAY", at="2026-05-03T12:00:00", position=240)
    del more["guid"]
    cloud.post("episode_action", [more])
    received = [one for one in cloud.get("episode_action", 0)["actions"] if one["episode"] == file]
    assert {(one.get("guid"), one["position"]) for one in received} == {
        ("episode-1-2", 60),
        ("episode-1-3", 60),
        (None, 240),
    }
    assert len(state_of(alice.pk).user.plays) == 4


def test_a_revoked_password_is_dead_at_once_and_so_is_its_cookie(cloud: NextcloudApp, alice: User) -> None:
    cloud.get("subscriptions", 0)
    cookie = cloud.client.cookies["sessionid"].value
    assert SyncMark.objects.filter(user=alice).exists()
    app_login.revoke(alice.pk, AppPassword.objects.get().pk)
    assert cloud.ask("GET", f"{BASE}/subscriptions").status_code == 401
    other = Client()
    other.cookies["sessionid"] = cookie
    answer = other.get(f"{BASE}/subscriptions")
    assert (answer.status_code, answer["WWW-Authenticate"][:5]) == (401, "Basic")
    assert not SyncMark.objects.filter(user=alice).exists()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_passwords_beyond_ascii_come_in_two_encodings(stores: None, encoding: str) -> None:
    UserFactory.create(username="Carol", password="größe-zählt-doch-7")
    header = basic("carol", "größe-zählt-doch-7", encoding)
    answer = Client().get(f"{BASE}/subscriptions", headers={"Authorization": header})
    assert answer.status_code == 200


def test_apps_look_before_they_log_in(cloud: NextcloudApp) -> None:
    status = Client().get("/status.php").json()
    assert (status["installed"], status["maintenance"]) == (True, False)
    assert cloud.json("GET", "/ocs/v2.php/cloud/user")["ocs"]["data"] == {
        "id": "alice",
        "display-name": "alice",
    }
    assert Client().get("/ocs/v1.php/cloud/user").status_code == 401


# login flow v2


def begin(base: str = "/index.php") -> tuple[str, str, str]:
    """Begin a login; return the page's path for the browser, and the path and the token for polling."""
    answer = Client().post(f"{base}/login/v2", headers={"User-Agent": f"{AGENT} <b>"}).json()
    poll, login = answer["poll"], urlsplit(answer["login"]).path
    assert poll["token"] not in login
    return login, urlsplit(poll["endpoint"]).path, poll["token"]


def ask(endpoint: str, token: str) -> tuple[int, object]:
    answer = Client().post(
        endpoint, urlencode({"token": token}), content_type="application/x-www-form-urlencoded"
    )
    assert answer["Cache-Control"] == "no-store"
    return answer.status_code, answer.json()


def test_an_app_that_is_let_in_fetches_its_password_once(alice: User, settings: Settings) -> None:
    login, endpoint, token = begin()
    assert ask(endpoint, token) == (404, [])
    assert Visitor().get(login)["Location"] == f"/users/log_in?next={login}"
    visitor = Visitor(alice)
    page = text_of(visitor.get(login))
    assert "AntennaPod/3.11 &lt;b&gt;" in page
    assert "127.0.0.1" in page
    # opening the page grants nothing, nor does a form of another site
    assert ask(endpoint, token) == (404, [])
    assert visitor.post(login, {"decision": "grant"}).status_code == 403
    assert ask(endpoint, token) == (404, [])
    assert "The app is let in" in text_of(visitor.send(login, {"decision": "grant"}))
    assert not AppPassword.objects.exists()
    status, found = ask(endpoint.removeprefix("/index.php"), token)
    assert status == 200
    assert isinstance(found, dict)
    assert (found["server"], found["loginName"]) == (settings.PUBLIC_URL.rstrip("/"), "alice")
    assert ask(endpoint, token) == (404, [])
    app = NextcloudApp(found["loginName"], found["appPassword"], "", agent=AGENT)
    assert app.get("subscriptions", 0)["add"] == []
    assert AppPassword.objects.get(user=alice).name == f"{AGENT} <b>"
    assert visitor.get(login).status_code == 404


def test_denied_expired_and_unknown_flows_give_nothing(alice: User, bob: User) -> None:
    login, endpoint, token = begin("")
    assert "is not let in" in text_of(Visitor(alice).send(login, {"decision": "deny"}))
    # a decision is final, and another user cannot change it
    assert Visitor(bob).send(login, {"decision": "grant"}).status_code == 404
    assert ask(endpoint, token) == (404, [])
    login, endpoint, token = begin()
    Visitor(alice).send(login, {"decision": "grant"})
    LoginFlow.objects.update(started_at=timezone.now() - timedelta(minutes=21))
    assert ask(endpoint, token) == (404, [])
    login, endpoint, token = begin()
    LoginFlow.objects.update(started_at=timezone.now() - timedelta(minutes=21))
    assert Visitor(alice).send(login, {"decision": "grant"}).status_code == 404
    # the token in the browser's address is not the one with which the app polls
    login, endpoint, token = begin()
    Visitor(alice).send(login, {"decision": "grant"})
    for wrong in (login.rsplit("/")[-1], "", "x" * 43, "\0", "é"):
        assert ask(endpoint, wrong) == (404, [])
    assert not AppPassword.objects.exists()
    LoginFlow.objects.update(started_at=timezone.now() - timedelta(minutes=21))
    app_login.clean_up(timezone.now())
    assert not LoginFlow.objects.exists()


def test_an_account_that_is_switched_off_gets_no_password(alice: User) -> None:
    login, endpoint, token = begin()
    Visitor(alice).send(login, {"decision": "grant"})
    User.objects.update(is_active=False)
    assert ask(endpoint, token) == (404, [])


def test_apps_that_wait_do_not_keep_each_other_from_polling(
    alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PUBLIC_REQUESTS_PER_MINUTE = 5
    monkeypatch.setattr(nextcloud, "POLLS", 12)
    waiting = [begin(), begin()]
    for _ in range(8):
        assert [ask(endpoint, token)[0] for _, endpoint, token in waiting] == [404, 404]
    # an address that polls with unknown tokens is limited, but apps that wait there can still poll
    _, endpoint, token = waiting[0]
    assert [ask(endpoint, f"guess {number}")[0] for number in range(5)][-1] == 429
    assert ask(endpoint, token)[0] == 404
    assert 429 in [ask(endpoint, token)[0] for _ in range(8)]
    assert ask(*waiting[1][1:])[0] == 404


def test_log_ins_are_begun_ten_times_a_minute(stores: None) -> None:
    found = [Client(REMOTE_ADDR="203.0.113.77").post("/login/v2") for _ in range(11)]
    assert [answer.status_code for answer in found] == [200] * 10 + [429]
    assert int(found[-1]["Retry-After"]) <= 60
