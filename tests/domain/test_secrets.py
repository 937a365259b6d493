"""Addresses that contain secret keys are recognised, whatever the key; those of public feeds are not."""

import base64
import random
import string
import uuid
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.identifiers import feed_of_url, normalise_item
from eventstore.domain.secrets import is_secret_feed, is_secret_item, is_secret_url

# Keys as services generate them, from a random generator: Hypothesis would try unlikely ones such as
# "aaaa...".
ALPHABETS = {
    "hexadecimal": "0123456789abcdef",
    "base 62": string.ascii_letters + string.digits,
    "base 64": string.ascii_letters + string.digits + "-_",
    "lower case": string.ascii_lowercase + string.digits,
}
numbers = st.integers(0, 2**32)
keys = st.builds(
    lambda alphabet, length, seed: "".join(random.Random(seed).choices(alphabet, k=length)),
    st.sampled_from(sorted(ALPHABETS.values())),
    st.integers(32, 64),
    numbers,
) | st.builds(lambda seed: str(uuid.UUID(int=random.Random(seed).getrandbits(128), version=4)), numbers)
# a value that is named as a key is one, however short it is
short_keys = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12)
names = st.sampled_from(["slow-radio", "the_daily_hour", "history", "Morgenpost", "s2024"])

# the URLs of known hosts of private feeds; {key} is what must not be revealed
HOSTS = [
    "https://www.patreon.com/rss/{name}?auth={short}",
    "https://www.patreon.com/rss/{name}?auth={key}&show=12345",
    "https://patreon.com/rss/{name}?auth={short}",
    "https://{name}.supportingcast.fm/content/{key}.rss",
    "https://{name}.supercast.com/feeds/{key}",
    "https://{name}.supercast.tech/feeds/{key}",
    "https://{name}.memberful.com/rss/1234?auth={short}",
    "https://rss.glow.fm/{short}",
    "https://subscribers.transistor.fm/{short}",
    "https://api.substack.com/feed/podcast/1234/private/{key}.rss",
    "https://api.substack.com/feed/podcast/1234/s/567/private/{short}.rss",
    "https://private.captivate.fm/{name}/{short}",
    "https://feeds.acast.com/private/{name}/{key}",
    "https://feeds.buzzsprout.com/{key}.rss",
    "https://{name}.castos.com/podcasts/123/private/{short}",
    "https://feed.podbean.com/{name}/feed.xml?token={short}",
    "https://premium.{name}.example/feed",
    "https://feeds.{name}.example/premium/{short}/rss",
    "https://example.org/feed?user={short}",
    "https://example.org/{name}/feed/?memberful_token={short}",
    "https://example.org/feed.xml?access-token={short}",
    "https://example.org/feed.xml;auth={short}",
    "https://example.org/{name}/{key}/rss.xml",
    "https://example.org/rss.php?f={key}",
    "https://{key}.feeds.example.org/rss",
    "https://example.org/feed?apitoken={short}",
    "https://example.org/feed?x-secret-2={short}",
    "https://example.org/feed?u=alice&p={short}",
    "https://example.org/feed/alice@example.org",
    "https://example.org/feed?t=9f8a7b6c5d",
    "https://example.org/feed/9f8a7b6c5d",
]
PUBLIC = [
    "https://example.org/feed.xml",
    "https://example.org/1.xml",
    "https://feeds.megaphone.fm/ABC1234567890",
    "https://feeds.simplecast.com/54nAGcIl",
    "https://rss.art19.com/the-daily",
    "https://anchor.fm/s/1e4b2c/podcast/rss",
    "http://feeds.soundcloud.com/users/soundcloud:users:12345678/sounds.rss",
    "https://www.spreaker.com/show/1234567/episodes/feed",
    "https://audioboom.com/channels/12345.rss",
    "https://feeds.transistor.fm/build-your-saas",
    "https://feeds.buzzsprout.com/1234567.rss",
    "https://feeds.npr.org/510289/podcast.xml",
    "https://podcasts.files.bbci.co.uk/p02nq0gn.rss",
    "https://www.relay.fm/cortex/feed",
    "https://lexfridman.com/feed/podcast/",
    "http://feeds.feedburner.com/TheTimFerrissShow",
    "https://feeds.acast.com/public/shows/5ea17537-f11f-4532-8202-294d976b9d5c",
    f"https://www.omnycontent.com/d/playlist/{uuid.UUID(int=1)}/{uuid.UUID(int=2)}/{uuid.UUID(int=3)}/podcast.rss",
    "https://www.youtube.com/feeds/videos.xml?channel_id=UC-lHJZR3Gqxm24_Vd_AJ5Yw",
    "https://www.thisamericanlife.org/podcast/rss.xml",
    "https://podcast.example/feed/?format=xml&lang=en&cat=5",
    "https://www.deutschlandfunk.de/forschung-aktuell-104.xml",
    "https://freakonomics.com/the-freakonomics-radio-book-club/feed/",
    "https://rss.libsyn.com/shows/12345/destinations/67890.xml",
    "https://müsik.example/prödüktiönsgesellschaft/feed",
]


def item(guid: str, enclosure: str) -> str:
    return normalise_item(base64.b64encode(f"{guid},{enclosure}".encode()).decode())


@pytest.mark.parametrize("shape", HOSTS)
@given(key=keys, short=short_keys, name=names)
def test_the_feeds_of_members_are_secrets(shape: str, key: str, short: str, name: str) -> None:
    url = shape.format(key=key, short=short, name=name)
    assert is_secret_url(url)
    assert is_secret_feed(feed_of_url(url))


@given(shape=st.sampled_from(HOSTS), key=keys, name=names, times=st.integers(1, 3))
def test_also_inside_of_another_address(shape: str, key: str, name: str, times: int) -> None:
    url = shape.format(key=key, short="abc123", name=name)
    for _ in range(times):
        url = quote(url, safe="")
    assert is_secret_url(f"https://proxy.example/fetch?url={url}")
    assert is_secret_url(f"https://proxy.example/{url}")


@pytest.mark.parametrize(
    "url",
    ["http://192.168.1.4/feed", "http://[fd00::1]/feed", "http://nas/feed", "http://radio.local/feed"],
)
def test_addresses_of_somebodys_own_network_are_secrets(url: str) -> None:
    assert is_secret_url(url)


@pytest.mark.parametrize("url", PUBLIC)
def test_public_feeds_are_public(url: str) -> None:
    assert not is_secret_url(url)
    assert not is_secret_feed(feed_of_url(url))


def test_what_is_public_by_its_shape_is_a_secret_with_a_key_behind_it() -> None:
    for url in PUBLIC:
        assert is_secret_url(f"{url}{'&' if '?' in url else '?'}token=1"), url


@pytest.mark.parametrize(
    "enclosure",
    [
        "https://traffic.megaphone.fm/ABC1234567890.mp3?updated=1602",
        "https://dts.podtrac.com/redirect.mp3/cdn.example.org/a/9f8a7b6c5d4e3f2a1b0c.mp3",
        "https://example.org/0b9f5c3e-95a3-4c6a-a7e9-2d2b7f4ac1f0/1.mp3",
        "",
    ],
)
def test_files_have_ids_in_their_paths(enclosure: str) -> None:
    assert not is_secret_item(item("episode-1", enclosure))


@given(short=short_keys)
def test_files_for_members_are_secrets(short: str) -> None:
    for enclosure in (
        f"https://c10.patreonusercontent.com/4/patreon-media/1.mp3?x={short}",
        f"https://cdn.example/1.mp3?token-time=1&token-hash={short}",
        f"https://d111.cloudfront.example/1.mp3?Expires=1&Signature={short}&Key-Pair-Id={short}",
        f"https://proxy.example/1.mp3?u=https%3A%2F%2Fcdn.example%2F1.mp3%3Ftoken%3D{short}",
    ):
        assert is_secret_item(item("episode-1", enclosure))
        assert is_secret_item(item(enclosure, "https://example.org/1.mp3"))


@given(st.text())
def test_what_is_no_feed_is_a_secret_and_nothing_fails(text: str) -> None:
    is_secret_url(text)
    assert is_secret_feed(text)
    is_secret_item(text)
