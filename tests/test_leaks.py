"""Private data appears in no log. This module runs last, and checks everything that this run has logged."""

import logging
import secrets
from collections.abc import Mapping

import django.db
import pytest

from accounts.models import PlayToken, User
from api import answers
from eventstore.domain.identifiers import feed_of_url
from playgateway import recording, tasks
from playgateway.links import sign
from tests import leaks, searching
from tests.api.devices import Device
from tests.apps import App
from tests.factories import PASSWORD, UserFactory
from tests.feeds.rows import EpisodeFactory, FeedFactory
from tests.playgateway.players import Player
from tests.projections.histories import NOON
from tests.web.people import Visitor, account

PRIVATE = "https://feeds.example.org/private/Zk93mQ7xLw2pT4vB?auth=8fJq2LmX"
MAIL = "alice.in.wonderland@example.org"

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]


@pytest.fixture
def alice() -> User:
    return UserFactory.create(username="alice", email=MAIL, password=PASSWORD)


@pytest.fixture
def phone(alice: User) -> Device:
    App().grant(alice)
    return Device(alice.pk)


def lengths() -> dict[str, int]:
    """Return the length of each log, in characters."""
    return {name: len(text) for name, text in leaks.logs()}


def logged(before: Mapping[str, int]) -> int:
    """Return how many characters have been logged since ``before``."""
    return sum(lengths().values()) - sum(before.values())


def nothing_leaked(before: Mapping[str, int]) -> None:
    """Assert that nothing logged since ``before`` contains a secret; the last test checks everything that was
    ever logged."""
    new = {name: text[before.get(name, 0) :] for name, text in leaks.logs()}
    assert {name: secrets for name, text in new.items() if (secrets := leaks.found_in(text))} == {}


def test_the_search_finds_what_is_there() -> None:
    token, private = secrets.token_urlsafe(24), leaks.remember(PRIVATE)
    leaks.remember("a password of words")
    for secret in (token, private, "a password of words"):
        assert leaks.found_in(f'{{"event":"GET /play/{secret}/x?t={secret}"}}')
    assert leaks.found_in("nothing of the kind at https://nobody.example/") == set()


def test_a_listeners_day_leaves_none_of_it(alice: User, phone: Device) -> None:
    before = lengths()
    feed = leaks.remember(feed_of_url(leaks.remember(PRIVATE)))
    phone.post("subscriptions", {"rss_source_feed": feed})
    phone.get("subscriptions")
    phone.get(f"subscriptions/{feed}")
    phone.get(f"feeds/{feed}?token={feed}")
    visitor = Visitor()
    token = App().authorization(["user.plays"])
    visitor.get(f"/authorize?token={token}")
    visitor.get(f"/setup?token={secrets.token_urlsafe(24)}")
    visitor.send("/users/register", account("bob", email=leaks.remember("bob.the.builder@example.org")))
    visitor.send("/users/log_in", {"username": "alice", "password": PASSWORD})
    visitor.send(
        "/users/log_in", {"username": "alice", "password": leaks.remember("my password for the bank")}
    )
    _, play_token = PlayToken.objects.issue(alice, "Kitchen radio", NOON)
    visitor.get(f"/play/{play_token}/{feed}/x")
    visitor.get(f"/rss/{play_token}/subscriptions")
    Visitor().get("/", HTTP_HOST=f"{play_token}.example")
    Visitor().get("/", HTTP_X_REQUEST_ID=play_token)
    assert logged(before) > 1_000
    nothing_leaked(before)


def test_what_a_player_does_leaves_nothing_of_it(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = EpisodeFactory.create(
        feed=FeedFactory.create(url=leaks.remember(PRIVATE)),
        enclosure_url=leaks.remember("https://audio.example/Qm83kfLx02Zp/1.mp3"),
    )
    player = Player(alice)
    s = leaks.remember(sign(player.row.pk, episode.feed.uid, episode.pk))
    before = lengths()
    assert player.play(episode, s).status_code == 302
    assert player.feed("subscriptions").status_code == 200
    assert player.play(episode, s, item="!").status_code == 404

    def fail(*_: object, **__: object) -> None:
        raise django.db.OperationalError(f"for {player.token}: {PRIVATE} {alice.email}")

    with monkeypatch.context() as patch:
        patch.setattr(recording, "dispatch", fail)
        patch.setattr(tasks.record_play, "apply_async", fail)
        player.play(EpisodeFactory.create())
    player.row.delete()
    assert player.play(episode, s).status_code == 404
    assert logged(before) > 300
    nothing_leaked(before)
    assert searching.found(player.token) == []


@pytest.mark.parametrize("failure", [ZeroDivisionError, django.db.OperationalError, django.db.IntegrityError])
def test_what_goes_wrong_tells_none_of_it(
    phone: Device, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = leaks.remember(feed_of_url(leaks.remember(PRIVATE)))
    token = secrets.token_urlsafe(24)
    words = (
        f"Failing row\nDETAIL:  Failing row contains (1, {feed}, {PRIVATE}, {MAIL})."
        f" token={token} Authorization: Bearer {token} password='{PASSWORD}' /play/{token}/{feed}"
        f" {{'Cookie': 'sessionid={token}'}} postgresql://alice:{token}@localhost/balados"
    )

    def fail(*_: object, **__: object) -> None:
        raise failure(words)

    monkeypatch.setattr(answers, "dispatch", fail)
    before = lengths()
    assert phone.post("subscriptions", {"rss_source_feed": feed}).status_code in (500, 503)
    assert logged(before) > 0
    nothing_leaked(before)


def test_a_library_that_says_too_much_is_silenced(phone: Device, caplog: pytest.LogCaptureFixture) -> None:
    before = lengths()
    token, request = secrets.token_urlsafe(24), App().request(phone.user_id)
    with caplog.at_level(logging.DEBUG):
        chatty = logging.getLogger("urllib3.connectionpool")
        chatty.debug("GET %s?access_token=%s", leaks.remember(PRIVATE), token)
        chatty.warning({"Authorization": f"Bearer {request}", "password": PASSWORD})
        chatty.error("for %r", {"csrfmiddlewaretoken": token, "email": MAIL, "cookie": token})
    assert len(caplog.records) == 3
    nothing_leaked(before)


def test_no_log_of_this_run_has_a_secret_of_its_tests() -> None:
    logs = dict(leaks.logs())
    lines = [
        line for name, text in logs.items() if name.endswith("tests-json.log") for line in text.splitlines()
    ]
    assert any('"event":"request"' in line for line in lines)
    assert any(name.endswith("postgres.log") and text for name, text in logs.items())
    assert leaks.count() > 10
    found = {name: secrets for name, text in leaks.logs() if (secrets := leaks.found_in(text))}
    assert found == {}
