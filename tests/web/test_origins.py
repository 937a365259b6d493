"""What pages call the podcast app and the device that something came from."""

import html
import re
from urllib.parse import urlencode

import pytest

from accounts.app_login import revoke
from accounts.app_models import AppPassword
from accounts.app_names import app_names
from accounts.models import User
from eventstore.dispatcher import Origin
from tests.api.devices import b64
from tests.gpodder.apps import PodcastApp, feed_url, play
from tests.gpodder.conftest import password_of
from tests.projecting import bring_up_to_date
from tests.web.people import Visitor, text_of
from web.addresses import in_path
from web.origins import choice_of, origin_of_choice

AGENT = "AntennaPod/3.11 (+https://antennapod.example/)"
# the ids of podcast apps, which say nothing to people
FOR_PROGRAMS = re.compile(r"\b[spa]:[0-9a-f]{32}|nc-[0-9a-f]{32}")


def phone_of(user: User, device: str) -> PodcastApp:
    """Return an app that all phones have in common, with a password and a caption of its own."""
    app = PodcastApp("alice", password_of(user, f"{device}'s password"), device, agent=AGENT)
    app.ask("POST", "/api/2/auth/alice/login.json")
    app.ask(
        "POST", f"/api/2/devices/alice/{device}.json", {"caption": f"{device} of Alice", "type": "mobile"}
    )
    return app


def listen(user: User) -> tuple[PodcastApp, PodcastApp]:
    """Follow and hear something on two phones with the same app; the first signs in before each upload."""
    first, second = phone_of(user, "Pixel"), phone_of(user, "Fairphone")
    first.upload_subscriptions([feed_url(1)])
    second.upload_subscriptions([feed_url(2)])
    for position in (60, 120, 180):
        first.client.cookies.clear()
        first.ask("POST", "/api/2/auth/alice/login.json")
        first.subscriptions()
        first.upload(play(1, position=position, device="Pixel"))
    second.upload(play(1, position=90, device="Fairphone", at="2026-05-01T11:00:00"))
    bring_up_to_date()
    return first, second


def test_the_history_names_the_app_password_and_the_device(alice: User) -> None:
    listen(alice)
    page = html.unescape(text_of(Visitor(alice).get("/history")))
    assert "Pixel's password · Pixel of Alice" in page
    assert "Fairphone's password · Fairphone of Alice" in page
    assert not FOR_PROGRAMS.search(page)


def test_two_phones_with_the_same_app_are_told_apart_and_undone_apart(alice: User) -> None:
    listen(alice)
    visitor = Visitor(alice)
    page = html.unescape(text_of(visitor.get("/history")))
    choices = dict(re.findall(r'<option value="(i:[^>]*?)">(\w+) of Alice', page))
    assert sorted(choices.values()) == ["Fairphone", "Pixel"]
    (second,) = [choice for choice, name in choices.items() if name == "Fairphone"]
    only = text_of(visitor.get("/history", {"device": second}))
    lines = html.unescape(re.sub(r"<select.*?</select>", "", only, flags=re.DOTALL))
    assert set(re.findall(r"(\w+)'s password", lines)) == {"Fairphone"}
    undo = text_of(visitor.get("/history/undo-since", {"device": second, "since": "hour"}))
    assert undo.count("Not followed any more") == 1


def test_a_place_is_shown_once_for_a_device_however_often_it_signed_in(alice: User) -> None:
    listen(alice)
    feed = in_path(b64(play(1)["podcast"]))
    item = in_path(b64(f"{play(1)['guid']},{play(1)['episode']}"))
    page = text_of(Visitor(alice).get(f"/episodes/{item}?{urlencode({'feed': feed})}"))
    places = re.findall(r"(Pixel|Fairphone) of Alice", page)
    assert sorted(set(places)) == ["Fairphone", "Pixel"]
    assert re.findall(r"Listened up to ([\d:]+)", page) == ["3:00", "1:30"]


def test_after_revoking_the_program_itself_is_named(alice: User) -> None:
    listen(alice)
    for password in AppPassword.objects.filter(user=alice):
        revoke(alice.pk, password.pk)
    page = html.unescape(text_of(Visitor(alice).get("/history")))
    assert "Pixel of Alice" in page
    assert not FOR_PROGRAMS.search(page)
    assert app_names(alice.pk) == {}


def test_an_app_that_is_called_like_its_device_is_named_once(alice: User) -> None:
    app = phone_of(alice, "Pixel")
    AppPassword.objects.filter(user=alice).update(name="Pixel of Alice")
    app.upload_subscriptions([feed_url(1)])
    bring_up_to_date()
    page = text_of(Visitor(alice).get("/history"))
    assert "Pixel of Alice" in page
    assert "Pixel of Alice · Pixel of Alice" not in page


def test_apps_of_others_have_no_name_here(alice: User, bob: User) -> None:
    listen(alice)
    assert app_names(bob.pk) == {}


@pytest.mark.parametrize(
    "origin",
    [
        Origin("org.example.app", "phone 1", None),
        Origin(None, 'with "quotes" and \\', None),
        Origin(None, None, "Firefox on Linux"),
        Origin("org.example.app", None, None),
    ],
)
def test_a_choice_says_where_it_came_from(origin: Origin) -> None:
    assert origin_of_choice(choice_of(origin.app_id, origin.device_id, origin.device_name)) == origin


@pytest.mark.parametrize("choice", ["", "i:", "i:phone", "i:[]", 'i:["a"]', "i:[1,2]", "d:", "a:", "x:phone"])
def test_other_texts_are_no_choice(choice: str) -> None:
    assert origin_of_choice(choice) == Origin()
