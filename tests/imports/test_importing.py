"""Everything is imported from another sync server exactly once."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.app_models import AppPassword
from accounts.models import User
from tests.gpodder.apps import PodcastApp, feed_url
from tests.gpodder.apps import play as played
from tests.imports.importing import bring, counts, events_of, state_of
from tests.web.serving import serving


@pytest.fixture
def instance(settings: Settings) -> Iterator[str]:
    """Another Balados, as far as the client can tell from the network."""
    with _another(settings, get_wsgi_application()) as address:
        yield address


@pytest.fixture
def nextcloud(settings: Settings) -> Iterator[str]:
    """The same without the gpodder API, like a Nextcloud."""
    application = get_wsgi_application()

    def without(environ: dict[str, Any], start: Any) -> Any:
        if environ["PATH_INFO"].startswith("/api/2/"):
            start("404 Not Found", [("Content-Type", "text/html")])
            return [b"<html>"]
        return application(environ, start)

    with _another(settings, without) as address:
        yield address


@contextmanager
def _another(settings: Settings, application: Any) -> Iterator[str]:
    settings.ALLOWED_HOSTS = ["localhost", "testserver"]
    with serving(application) as address:
        settings.FEED_ALLOW_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
        settings.FEED_PORTS = [*settings.FEED_PORTS, int(address.rpartition(":")[2])]
        yield address


def password_of(user: User) -> str:
    return AppPassword.objects.issue(user.pk, "import", timezone.now())[1]


def live(user: User) -> None:
    app = PodcastApp("alice", password_of(user), "phone")
    app.ask("POST", "/api/2/devices/alice/desk.json", {"caption": "My desk", "type": "desktop"})
    app.upload_subscriptions([feed_url(number) for number in range(1, 4)])
    app.upload(
        *(played(number, device="desk") for number in range(1, 31)),
        played(1, 2, device="phone", action="download"),
        played(1, 2, device="phone", at="2026-05-02T12:00:00", position=599, total=600),
    )
    app.json("POST", "/api/2/settings/alice/account.json", {"set": {"a": [1]}, "remove": []})
    app.json("POST", "/api/2/settings/alice/device.json?device=desk", {"set": {"b": "x"}, "remove": []})
    app.json(
        "POST",
        f"/api/2/settings/alice/episode.json?podcast={feed_url(1)}&episode=https://example.org/1/1.mp3",
        {"set": {"is_favorite": True}, "remove": []},
    )


def test_an_account_of_another_balados_comes_over_whole(instance: str, alice: User, bob: User) -> None:
    live(alice)
    progress = bring(bob, instance, password=password_of(alice))
    assert progress.stage == "done", progress
    assert progress.flavour == "gpodder"
    assert counts(progress) == {
        "devices": (2, 0, 0),
        "podcasts": (3, 0, 0),
        "episodes": (32, 0, 0),
        "settings": (2, 0, 0),
        "favourites": (1, 0, 0),
    }
    there, here = state_of(alice), state_of(bob)
    assert {feed for feed, of in here.subscriptions.items() if of.active} == there.subscriptions.keys()
    assert dict(there.plays) == dict(here.plays)
    assert dict(there.episode_actions) == dict(here.episode_actions)
    assert here.saved.keys() == there.saved.keys()
    assert {name: (of.caption, of.type) for name, of in here.devices.items()} == {
        name: (of.caption or name, of.type or "other") for name, of in there.devices.items()
    }
    before = events_of(bob)
    again = bring(bob, instance, password=password_of(alice))
    assert events_of(bob) == before
    assert [of.new for of in again.counts.values()] == [0] * 5


def test_so_does_what_its_nextcloud_flavour_tells(nextcloud: str, alice: User, bob: User) -> None:
    live(alice)
    progress = bring(bob, nextcloud, password=password_of(alice))
    assert (progress.flavour, progress.stage) == ("nextcloud", "done")
    # only plays are imported
    assert counts(progress) == {"podcasts": (3, 0, 0), "episodes": (31, 0, 0)}
    there, here = state_of(alice), state_of(bob)
    assert {key: (of.position, of.played, of.updated_at) for key, of in there.plays.items()} == {
        key: (of.position, of.played, of.updated_at) for key, of in here.plays.items()
    }
    before = events_of(bob)
    bring(bob, nextcloud, password=password_of(alice))
    assert events_of(bob) == before
