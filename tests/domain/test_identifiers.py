"""One feed is one key, however a client spells it; and nothing that cannot be one gets in."""

import base64
import contextlib
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.domain.identifiers import (
    InvalidIdentifier,
    feed_of_url,
    normalise_feed,
    normalise_item,
    normalise_url,
    parts_of_item,
    url_of_feed,
)

hosts = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}\.[a-zA-Z]{2,5})?", fullmatch=True)
visible = st.characters(min_codepoint=0x20, exclude_categories=("Cs", "Cc", "Zl", "Zp"))
tails = st.text(visible, max_size=40).map(lambda text: "/" + text)
schemes = st.sampled_from(["http", "https", "HTTP", "Https"])
ports = st.sampled_from(["", ":80", ":443", ":8080", ":"])
urls = st.builds("{}://{}{}{}".format, schemes, hosts, ports, tails)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def spellings(standard: str) -> list[str]:
    safe = standard.replace("+", "-").replace("/", "_")
    return [standard, standard.rstrip("="), safe, safe.rstrip("=")]


@given(urls)
def test_the_four_spellings_of_a_feed_are_one_key(url: str) -> None:
    assert len({normalise_feed(text) for text in spellings(encoded(url))}) == 1


@given(urls)
def test_normalising_twice_is_normalising_once(url: str) -> None:
    once = normalise_feed(encoded(url))
    assert normalise_feed(once) == once
    assert feed_of_url(url_of_feed(once)) == once


@given(st.text(visible, max_size=30), urls)
def test_the_four_spellings_of_an_item_are_one_key(guid: str, enclosure: str) -> None:
    item = encoded(f"{guid},{enclosure}")
    assert {normalise_item(text) for text in spellings(item)} == {item}


@given(st.text() | st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_refused_and_nothing_breaks(text: str) -> None:
    for normalise in (normalise_feed, normalise_item, feed_of_url):
        with contextlib.suppress(InvalidIdentifier):
            normalise(text)


AWKWARD = "aZ0.-_:[]@%\\/?#,;~*! ſKİΣς℀１．：٤²\u00ad\u3000\u2028\ufeff\u200d\U0001f399"
encodable = st.characters(codec="utf-8")
authorities = st.text(st.sampled_from(AWKWARD) | encodable, max_size=8)
attempts = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "HTTPS", "httpſ", "httPs"]),
    authorities,
    st.sampled_from(["", "/", "/a b", "?x=@", "\\@b/", ":80/", ":٤/", ":/", "]:1"]),
)


@given(attempts)
@example("http://a：80/")
@example("http://ex℀mple.org/")
@example("https://[:::]/")
@example("http://[1.2.3.4]/")
def test_everybody_reads_the_same_host_in_an_accepted_url(url: str) -> None:
    """Whatever fetches the feed reads the URL with another parser than ours: it must find no other host."""
    try:
        accepted = normalise_url(url)
    except InvalidIdentifier:
        return
    parts = urlsplit(accepted)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert accepted.startswith((f"{parts.scheme}://{parts.hostname}", f"{parts.scheme}://[{parts.hostname}]"))
    assert (parts.username, parts.password) == (None, None)
    assert parts.port is None or 0 <= parts.port <= 65_535
    assert normalise_url(accepted) == accepted


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("HTTP://Example.ORG:80/Feed.XML?A=b#top", "http://example.org/Feed.XML?A=b"),
        ("https://example.org:443", "https://example.org"),
        ("https://example.org:0443/", "https://example.org/"),
        ("https://example.org:8443/a", "https://example.org:8443/a"),
        ("https://example.org:65535/", "https://example.org:65535/"),
        ("http://example.org:/", "http://example.org/"),
        ("http://[2001:DB8::1]:80/a", "http://[2001:db8::1]/a"),
        ("http://[::ffff:192.0.2.1]/", "http://[::ffff:192.0.2.1]/"),
        ("http://münchen.example/ä", "http://münchen.example/ä"),
        ("https://example.org/a%2Fb/../c?d=%zz", "https://example.org/a%2Fb/../c?d=%zz"),
    ],
)
def test_only_scheme_host_default_port_and_fragment_are_touched(spelt: str, meant: str) -> None:
    assert normalise_url(spelt) == meant


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/feed.xml",
        "//example.org/feed.xml",
        "ftp://example.org/feed.xml",
        "javascript:alert(1)",
        "http:///feed.xml",
        "http://:80/",
        "https://alice:secret@example.org/feed.xml",
        "https://alice@example.org/feed.xml",
        "https://example.org\\@evil.example/",
        "https://exa mple.org/",
        "https://example.org:99999/",
        "https://example.org:65536/",
        "https://example.org:000443/",
        "https://example.org:-1/",
        "https://example.org:1e3/",
        "https://example.org:٤٤٣/",
        "https://example.org:４４３/",
        "httpſ://example.org/",
        "httpſ://example.org:80/",
        "https://ex℀mple.org/",
        "https://example.org／@evil.example/",
        "https://example.org：443/",
        "https://example.org/\x00",
        "https://example.org/\r\nHost: evil",
        "https://example.org/\x85",
        "https://[::1/",
        "https://::1/",
        "https://[:::]/",
        "https://[1.2.3.4]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1]evil.example/",
        "https://example.org%2f@evil.example/",
        "https://example.org/\ud800",
    ],
)
def test_it_refuses_what_is_no_feed_url(url: str) -> None:
    with pytest.raises(InvalidIdentifier):
        feed_of_url(url)


def test_a_feed_url_has_at_most_2048_bytes() -> None:
    longest = "https://example.org/" + "é" * 1014
    assert len(longest.encode()) == 2048
    assert url_of_feed(normalise_feed(encoded(longest))) == longest
    with pytest.raises(InvalidIdentifier):
        normalise_feed(encoded(longest + "x"))


def test_an_item_has_at_most_4096_bytes() -> None:
    longest = "g" * 4095 + ","
    assert parts_of_item(normalise_item(encoded(longest))) == ("g" * 4095, "")
    with pytest.raises(InvalidIdentifier):
        normalise_item(encoded("g" + longest))


@pytest.mark.parametrize(
    ("text", "guid", "enclosure"),
    [
        ("guid,https://example.org/1.mp3", "guid", "https://example.org/1.mp3"),
        (
            "tag:example.org,2020:1,http://example.org/1.mp3",
            "tag:example.org,2020:1",
            "http://example.org/1.mp3",
        ),
        (
            "http://a.example/1,2,https://b.example/3,4.mp3",
            "http://a.example/1,2",
            "https://b.example/3,4.mp3",
        ),
        ("tag:example.org,2020:1,", "tag:example.org,2020:1", ""),
        (",https://example.org/1.mp3", "", "https://example.org/1.mp3"),
    ],
)
def test_the_enclosure_starts_after_the_last_comma_before_a_url(text: str, guid: str, enclosure: str) -> None:
    assert parts_of_item(normalise_item(encoded(text))) == (guid, enclosure)


@pytest.mark.parametrize(
    "text",
    [
        ",",
        "guid",
        "a,b",
        "guid,ftp://example.org/1.mp3",
        "guid,httpſ://example.org/1.mp3",
        "",
        "gu\x00id,",
        "gu\x1bid,",
        "gu\u2028id,",
    ],
)
def test_it_refuses_what_is_no_item(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        normalise_item(encoded(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "====",
        "aHR0cDovL2EuYi8=x",
        "aHR0cDovL2EuYi8==",
        "aHR0 cDovL2EuYi8",
        "aHR0cDovL2EuYi8\n",
        "aHR0cDovL2EuYi8\x00",
        "ａHR0cDovL2EuYi8",
        "aHR0cDovL2Eu+i8_",
        base64.b64encode(b"http://a.b/\xff\xfe").decode(),
        "A" * 1_000_000,
    ],
)
def test_it_refuses_what_is_no_base64(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        normalise_feed(text)
