"""Invalid names and values of app settings."""

import pytest

from api.gpodder import settings
from eventstore.domain.settings import MOST_SCOPES
from tests.gpodder.apps import PodcastApp, content_of


@pytest.mark.parametrize(
    "body",
    [
        b'{"set": {"\\ud800": 1}}',
        b'{"set": {"a\\u0000": 1}}',
        b'{"set": {"a": "\\ud800"}}',
        b'{"set": {"a": 1e999}}',
        b'{"set": {"a": [-1e999]}}',
        b'{"set": {"a": NaN}}',
        b'{"remove": ["\\udfff"]}',
    ],
)
def test_what_json_or_the_store_cannot_hold_is_refused(phone: PodcastApp, body: bytes) -> None:
    path = "/api/2/settings/alice/account.json"
    assert phone.ask("POST", path, body).status_code == 400
    assert phone.json("GET", path) == {}


def test_there_are_so_many_scopes_and_no_more(phone: PodcastApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def path(number: int) -> str:
        return f"/api/2/settings/alice/podcast.json?podcast=https://example.org/{number}.xml"

    assert MOST_SCOPES == 4_096
    monkeypatch.setattr(settings, "MOST_SCOPES", 3)
    for number in range(3):
        phone.json("POST", path(number), {"set": {"a": number}})
    refused = phone.ask("POST", path(3), {"set": {"a": 3}})
    assert refused.status_code == 400
    assert b"3 scopes at most" in content_of(refused)
    # existing scopes can still be changed, and removing from a missing one is no error
    assert phone.json("POST", path(2), {"set": {"b": 1}}) == {"a": 2, "b": 1}
    assert phone.json("POST", path(3), {"remove": ["a"]}) == {}
    # how a device spells a podcast is kept among the settings, but does not count as one of the app's scopes
    phone.upload_subscriptions(["https://example.org/f?u=https%3A%2F%2Fx.example"])
    assert phone.json("POST", path(0), {"set": {"a": 9}}) == {"a": 9}
