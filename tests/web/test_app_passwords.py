"""/apps/passwords: the passwords with which podcast apps sign in."""

import html
import re
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from accounts.app_models import AppPassword, AppSession
from accounts.models import User
from tests.factories import PASSWORD
from tests.gpodder.apps import PodcastApp
from tests.projecting import bring_up_to_date
from tests.web.people import Visitor, text_of
from web import app_passwords

NEW, OWN = "/apps/passwords/new", "/apps/passwords/own"


def shown(page: str) -> dict[str, str]:
    """Return the values that the listener has to enter in the app, by field name."""
    fields = re.findall(r'<input id="(\w+)" type="text" readonly value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in fields}


def test_a_password_is_shown_once_and_lets_the_app_in_until_it_is_revoked(
    alice: User, bob: User, settings: Settings
) -> None:
    visitor, once = Visitor(alice), {"name": "", "request": str(uuid4())}
    answer = visitor.send(NEW, once)
    assert (answer.status_code, "no-store" in answer["Cache-Control"]) == (201, True)
    page = text_of(answer)
    values = shown(page)
    assert (values["server"], values["username"]) == (settings.PUBLIC_URL, "Alice")
    assert page.count('class="code"') == 2
    assert all(f"<summary>{app}</summary>" in page for app in ("AntennaPod", "gPodder", "Kasts"))
    assert shown(text_of(visitor.send(NEW, once))) == values
    assert AppPassword.objects.count() == 1

    app = PodcastApp("Alice", values["password"], "phone", agent="AntennaPod/3.11")
    app.json("GET", "/api/2/devices/Alice.json")
    app.subscriptions()
    app.ask("POST", "/api/2/devices/Alice/phone.json", {"caption": "Pixel"})
    bring_up_to_date()
    listed = text_of(visitor.get("/apps"))
    assert "AntennaPod/3.11" in listed
    assert "Pixel" in listed
    assert values["password"] not in listed
    assert "AntennaPod/3.11" not in text_of(Visitor(bob).get("/apps"))

    own = f"/apps/passwords/{AppPassword.objects.get().pk}"
    assert visitor.send(f"{own}/rename", {"name": " "}).status_code == 400
    visitor.send(f"{own}/rename", {"name": "My phone"})
    assert "It is called My phone now." in text_of(visitor.get("/apps"))
    assert "Revoke My phone?" in text_of(visitor.get(f"{own}/revoke"))
    assert app.ask("GET", "/api/2/devices/Alice.json").status_code == 200
    visitor.send(f"{own}/revoke", {})
    assert app.ask("GET", "/api/2/devices/Alice.json").status_code == 401
    app.client.cookies.clear()
    assert app.ask("GET", "/api/2/devices/Alice.json").status_code == 401
    assert "My phone is shut out from now on." in text_of(visitor.get("/apps"))


def test_the_accounts_own_password_can_be_kept_from_apps(alice: User, settings: Settings) -> None:
    visitor = Visitor(alice)
    app = PodcastApp("alice", PASSWORD, "desk", agent="gPodder/3.11")
    app.json("GET", "/api/2/devices/alice.json")
    assert "gPodder/3.11" in text_of(visitor.get("/apps"))
    visitor.send(OWN, {"allow": "no"})
    assert app.ask("GET", "/api/2/devices/alice.json").status_code == 401
    app.client.cookies.clear()
    assert app.ask("GET", "/api/2/devices/alice.json").status_code == 401
    assert "Podcast apps need an app password" in text_of(visitor.get("/apps"))
    visitor.send(OWN, {"allow": "yes"})
    assert app.ask("GET", "/api/2/devices/alice.json").status_code == 200
    settings.APP_LOGIN_WITH_ACCOUNT_PASSWORD = False
    assert OWN not in text_of(visitor.get("/apps"))


def test_apps_that_know_the_old_password_are_signed_out_when_it_is_changed(alice: User) -> None:
    PodcastApp("alice", PASSWORD, "desk").json("GET", "/api/2/devices/alice.json")
    assert AppSession.objects.exists()
    new = "another-good-password-7"
    fields = {"password": PASSWORD, "password1": new, "password2": new}
    assert Visitor(alice).send("/settings/password", fields).status_code == 302
    assert not AppSession.objects.exists()


def test_bad_input_is_told_and_kept_and_there_is_an_end_to_passwords(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(alice)
    answer = visitor.send(NEW, {"name": "x" * 101})
    assert answer.status_code == 400
    assert "errorlist" in text_of(answer)
    assert "x" * 101 in text_of(answer)
    monkeypatch.setattr(app_passwords, "MOST_PASSWORDS", 1)
    assert visitor.send(NEW, {"name": "Phone"}).status_code == 201
    answer = visitor.send(NEW, {"name": "Tablet"})
    assert (answer.status_code, "You have 1 already" in text_of(answer)) == (400, True)
    assert AppPassword.objects.count() == 1
