"""Signing in: Basic authentication, the cookie, and credentials that open nothing."""

from datetime import timedelta

import pytest
import redis
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import app_login
from accounts.app_models import AppPassword, AppSession
from accounts.models import User
from tests.factories import PASSWORD, UserFactory
from tests.gpodder.apps import PodcastApp, basic
from tests.gpodder.conftest import password_of
from tests.web.people import Visitor

DEVICES = "/api/2/devices/alice.json"


def test_without_credentials_an_app_is_asked_for_them(alice: User) -> None:
    answer = Client().get(DEVICES)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Basic realm="Balados", charset="UTF-8"'
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Cache-Control"] == "no-store"


def test_basic_opens_a_session_whose_cookie_suffices(phone: PodcastApp, alice: User) -> None:
    answer = phone.ask("GET", DEVICES)
    cookie = answer.cookies["sessionid"]
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (
        31_536_000,
        True,
        "Lax",
        "/",
    )
    for _ in range(3):
        assert phone.json("GET", DEVICES) == []
    assert AppSession.objects.filter(user=alice, returned=True).count() == 1
    # the cookie opens no web page
    page = Client()
    page.cookies["sessionid"] = cookie.value
    assert page.get("/settings/account").status_code == 302


def test_a_session_is_kept_where_basic_comes_with_its_cookie(phone: PodcastApp, alice: User) -> None:
    phone.ask("GET", DEVICES)
    cookie = phone.client.cookies["sessionid"].value
    phone.ask("GET", DEVICES, authorization=basic("alice", phone.password))
    assert phone.client.cookies["sessionid"].value == cookie
    assert AppSession.objects.filter(user=alice).count() == 1


def test_an_app_that_ignores_cookies_piles_up_no_sessions(alice: User) -> None:
    app = PodcastApp("alice", password_of(alice), "x", keeps_cookies=False)
    for _ in range(25):
        assert "sessionid" in app.ask("GET", DEVICES).cookies
    assert AppSession.objects.filter(user=alice).count() == app_login.MOST_SESSIONS
    AppSession.objects.update(used_at=timezone.now() - timedelta(hours=2))
    app_login.clean_up(timezone.now())
    assert not AppSession.objects.filter(user=alice).exists()


def test_a_session_lives_for_a_year_after_its_last_use(
    phone: PodcastApp, alice: User, settings: Settings
) -> None:
    phone.ask("GET", DEVICES)
    phone.ask("GET", DEVICES)
    # as after a restart, with an empty Redis
    app_login._verified.clear()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    now = timezone.now()
    AppSession.objects.update(used_at=now - timedelta(days=364))
    app_login.clean_up(now)
    assert phone.ask("GET", DEVICES).status_code == 200
    AppSession.objects.update(used_at=now - timedelta(days=366))
    answer = phone.ask("GET", DEVICES)
    assert (answer.status_code, "WWW-Authenticate" in answer) == (401, True)


def test_log_in_and_log_out(phone: PodcastApp) -> None:
    assert phone.json("POST", "/api/2/auth/alice/login.json") == {}
    cookie = phone.client.cookies["sessionid"].value
    assert phone.ask("GET", "/api/2/auth/alice/login.json").status_code == 405
    assert phone.json("POST", "/api/2/auth/alice/logout.json") == {}
    assert Client().post("/api/2/auth/alice/logout.json").status_code == 200
    again = Client()
    again.cookies["sessionid"] = cookie
    assert again.get(DEVICES).status_code == 401


def test_nobody_asks_for_anothers(phone: PodcastApp, bobs: PodcastApp) -> None:
    phone.ask("GET", DEVICES)
    assert bobs.ask("GET", DEVICES).status_code == 400
    bobs.ask("GET", "/api/2/devices/bob.json")
    assert "sessionid" in bobs.client.cookies
    answer = bobs.ask("GET", DEVICES)
    assert answer.status_code == 400
    assert bobs.ask("GET", "/api/2/devices/BOB.json").status_code == 200


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !", "Basic YWxpY2U=", "Basic YWxpY2U6d3Jvbmc=", "Bearer x", "Basic \xff"]
)
def test_what_is_no_password_is_refused(alice: User, header: str) -> None:
    assert Client().get(DEVICES, HTTP_AUTHORIZATION=header).status_code == 401


def test_two_headers_are_a_bad_request(alice: User) -> None:
    assert Client().get(DEVICES, HTTP_AUTHORIZATION="Basic YTpi, Basic YTpi").status_code == 400


def test_the_accounts_own_password_opens_it_unless_that_is_switched_off(
    stores: None, settings: Settings
) -> None:
    user = UserFactory.create(username="alice", password=PASSWORD)
    assert Client().get(DEVICES, HTTP_AUTHORIZATION=basic("alice", PASSWORD)).status_code == 200
    settings.APP_LOGIN_WITH_ACCOUNT_PASSWORD = False
    assert Client().get(DEVICES, HTTP_AUTHORIZATION=basic("alice", PASSWORD)).status_code == 401
    settings.APP_LOGIN_WITH_ACCOUNT_PASSWORD = True
    User.objects.filter(pk=user.pk).update(app_login_with_password=False)
    assert Client().get(DEVICES, HTTP_AUTHORIZATION=basic("alice", PASSWORD)).status_code == 401


def test_a_password_is_read_as_utf_8_and_as_latin_1(stores: None) -> None:
    UserFactory.create(username="alice", password="tout près d’été à")
    UserFactory.create(username="bob", password="tout près été à")
    for name, password, encoding in (
        ("alice", "tout près d’été à", "utf-8"),
        ("bob", "tout près été à", "latin-1"),
    ):
        header = basic(name, password, encoding)
        answer = Client().get(f"/api/2/devices/{name}.json", HTTP_AUTHORIZATION=header)
        assert answer.status_code == 200, name


def test_guessing_ends_with_a_time_to_wait(stores: None) -> None:
    UserFactory.create(username="alice", password=PASSWORD)
    wrong = [basic("alice", f"wrong password {number}") for number in range(8)]
    answers = [Client().get(DEVICES, HTTP_AUTHORIZATION=header) for header in wrong]
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1]["Retry-After"]) > 0


def test_a_phone_with_an_old_password_locks_nobody_out_and_brings_no_more_guesses(stores: None) -> None:
    UserFactory.create(username="alice", password=PASSWORD)

    def app(password: str, name: str = "alice") -> int:
        return Client().get(DEVICES, HTTP_AUTHORIZATION=basic(name, password)).status_code

    def page(password: str) -> int:
        fields = {"username": "alice", "password": password}
        return Visitor().send("/users/log_in", fields).status_code

    assert [app("an old password") for _ in range(30)] == [401] * 30
    assert [app("an old password", "nobody") for _ in range(30)] == [401] * 30
    assert page(PASSWORD) == 302
    # guesses of pages and of apps count together
    assert [page("guess 1"), page("guess 2"), app("guess 3"), app("guess 4")] == [400, 400, 401, 401]
    app("an old password")
    assert [app("guess 5"), page("guess 6")] == [401, 429]
    assert [app(PASSWORD), page(PASSWORD)] == [429, 429]


def test_a_revoked_password_and_its_sessions_end_at_once(phone: PodcastApp, alice: User) -> None:
    phone.ask("GET", DEVICES)
    app_login.revoke(alice.pk, AppPassword.objects.get(user=alice).pk)
    assert phone.ask("GET", DEVICES).status_code == 401
    assert Client().get(DEVICES, HTTP_AUTHORIZATION=basic("alice", phone.password)).status_code == 401


def test_an_account_that_is_switched_off_lets_nobody_in(phone: PodcastApp, alice: User) -> None:
    phone.ask("GET", DEVICES)
    alice.is_active = False
    alice.save()
    assert phone.ask("GET", DEVICES).status_code == 401
    assert Client().get(DEVICES, HTTP_AUTHORIZATION=basic("alice", phone.password)).status_code == 401


def test_a_password_is_called_as_the_app_calls_itself(phone: PodcastApp, alice: User) -> None:
    phone.ask("GET", DEVICES)
    assert AppPassword.objects.get(user=alice).name == "AntennaPod/3.11"


def test_methods(phone: PodcastApp) -> None:
    answer = phone.ask("DELETE", DEVICES)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert phone.ask("OPTIONS", DEVICES).status_code == 200
    assert phone.ask("HEAD", DEVICES).status_code == 200
    assert phone.ask("GET", DEVICES + "/").status_code == 404
