"""What no setting of an app can be called, and what it cannot be."""

import pytest

from tests.gpodder.apps import PodcastApp


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
