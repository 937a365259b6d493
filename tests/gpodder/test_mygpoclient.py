"""gPodder's own client library, over a socket."""

from collections.abc import Iterator

import pytest
from django.core.wsgi import get_wsgi_application
from mygpoclient import api, http, public, simple
from pytest_django.fixtures import Settings

from accounts.models import User
from tests.gpodder.apps import feed_url
from tests.gpodder.conftest import password_of
from tests.web.serving import serving

PHONE = "legacy-device"
AT = "2026-05-01T12:00:00"


@pytest.fixture
def address(alice: User, settings: Settings) -> Iterator[str]:
    settings.ALLOWED_HOSTS = ["localhost"]
    with serving(get_wsgi_application()) as address:
        yield address


def test_it_goes_through_its_interface(address: str, alice: User) -> None:
    password = password_of(alice)
    client = api.MygPodderClient("alice", password, address)
    assert client.update_device_settings(PHONE, caption="My phone", type="mobile")
    (device,) = client.get_devices()
    assert (device.device_id, device.caption, device.type, device.subscriptions) == (
        PHONE,
        "My phone",
        "mobile",
        0,
    )
    first, other = feed_url(1), "HTTP://Example.org/2.xml"
    uploaded = client.update_subscriptions(PHONE, [first, other], [])
    assert uploaded.update_urls == [(other, "http://example.org/2.xml")]
    assert client.pull_subscriptions(PHONE, since=uploaded.since).add == []
    assert set(client.pull_subscriptions(PHONE, since=0).add) == {first, other}
    actions = [
        api.EpisodeAction(first, "https://example.org/1.mp3", "play", PHONE, AT, 0, 120, 500),
        api.EpisodeAction(first, "https://example.org/2.mp3", "download", PHONE, AT),
    ]
    client.upload_episode_actions(actions)
    received = client.download_episode_actions(since=0).actions
    assert [one.to_dictionary() for one in received] == [one.to_dictionary() for one in actions]
    assert client.set_settings("device", PHONE, None, {"a": 1}, []) == {"a": 1}
    assert client.get_settings("device", PHONE) == {"a": 1}
    assert client.get_favorite_episodes() == []
    lists = simple.SimpleClient("alice", password, address)
    assert lists.put_subscriptions(PHONE, [first])
    assert lists.get_subscriptions(PHONE) == [first]
    assert lists.get_suggestions(10) == []
    everybody = public.PublicClient(address)
    assert everybody.get_toplist() == everybody.search_podcasts("x") == everybody.get_toptags(5) == []
    with pytest.raises(http.Unauthorized):
        simple.SimpleClient("alice", "wrong password", address).get_subscriptions(PHONE)
