"""A feed has one key, however a client spells its URL; and identifiers that cannot be valid are rejected."""

import base64
import contextlib
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.domain.identifiers import (
    CODES_OF_ADDRESSES,
    InvalidIdentifier,
    feed_of_url,
    has_guid,
    item_of,
    normalise_feed,
    normalise_guid,
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
    assert len({normalise_item(text) for text in spellings(item)}) == 1
    once = normalise_item(item)
    assert normalise_item(once) == once


@given(st.text(visible, max_size=30), urls)
def test_the_two_parts_of_an_item_are_spelt_as_alone(guid: str, enclosure: str) -> None:
    read = parts_of_item(item_of(guid, enclosure))
    if ",http" in guid.lower() or enclosure.endswith(","):
        return  # these are read back as other parts, which is why there are two fields
    assert read == (normalise_guid(guid), normalise_url(enclosure, 4_096))


@given(st.text(visible, max_size=30), urls, st.sampled_from(["", ","]))
@example(guid="", enclosure="https://example.org/1.mp3", end=",")
def test_whether_an_item_has_a_guid_is_told_without_reading_it(guid: str, enclosure: str, end: str) -> None:
    item = item_of(guid, enclosure + end)
    assert has_guid(item) is bool(parts_of_item(item)[0])


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
    """The feed is fetched with another URL parser than ours, which must not find another host."""
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


@pytest.mark.parametrize("guid", ["a", "ab", "abc"])
def test_an_item_is_the_same_whatever_its_unused_bits_are(guid: str) -> None:
    item = encoded(f"{guid},https://example.org/1.mp3")
    last = len(item.rstrip("=")) - 1
    respelt = item[:last] + chr(ord(item[last]) + (last + 1 < len(item))) + item[last + 1 :]
    assert normalise_item(respelt) == item


# As in the WHATWG's URL tests, each row is a spelling and its normal form.
SPELLINGS = [
    ("HTTP://Example.ORG:80/Feed.XML?A=b#top", "http://example.org/Feed.XML?A=b"),
    ("https://example.org:443", "https://example.org/"),
    ("https://example.org:0443/", "https://example.org/"),
    ("https://example.org:80/", "https://example.org:80/"),
    ("http://example.org:443/", "http://example.org:443/"),
    ("https://example.org:8443/a", "https://example.org:8443/a"),
    ("https://example.org:65535/", "https://example.org:65535/"),
    ("http://example.org:/", "http://example.org/"),
    ("http://example.org:0/", "http://example.org:0/"),
    # white space
    (" \t\n\u00a0https://example.org/a \r\n", "https://example.org/a"),
    # the schemes of podcast apps
    ("feed:https://example.org/a", "https://example.org/a"),
    ("FEED:HTTP://example.org/a", "http://example.org/a"),
    ("feed://https://example.org/a", "https://example.org/a"),
    ("feed://example.org/a", "http://example.org/a"),
    ("itpc://example.org/a", "http://example.org/a"),
    ("itms:example.org/a", "http://example.org/a"),
    ("pcast://example.org", "http://example.org/"),
    ("podcast:https://example.org", "https://example.org/"),
    # path, query and fragment
    ("https://example.org?", "https://example.org/"),
    ("https://example.org/a?", "https://example.org/a"),
    ("https://example.org/a?#b", "https://example.org/a"),
    ("https://example.org/a??", "https://example.org/a??"),
    ("https://example.org?a=1", "https://example.org/?a=1"),
    ("https://example.org#?a", "https://example.org/"),
    ("https://example.org/a/?b/c#d#e", "https://example.org/a/?b/c"),
    ("https://example.org/a%2Fb/../c/./d//e", "https://example.org/a%2Fb/../c/./d//e"),
    ("https://example.org/a;b=1,2:3@4!$&'()*+", "https://example.org/a;b=1,2:3@4!$&'()*+"),
    ("https://example.org/a%2Cb,c", "https://example.org/a%2Cb,c"),
    ('https://example.org/a b"<>\\^`{|}', "https://example.org/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D"),
    ("https://example.org/a?b[]= \\", "https://example.org/a?b%5B%5D=%20%5C"),
    ("https://example.org/ä?ü=\U0001f399", "https://example.org/%C3%A4?%C3%BC=%F0%9F%8E%99"),
    ("https://example.org/%7euser/%61%2e%2D%5f", "https://example.org/~user/a.-_"),
    ("https://example.org/%c3%a4?%2f%3a%zz%", "https://example.org/%C3%A4?%2F%3A%25zz%25"),
    ("https://example.org/%%34%31%4%31", "https://example.org/%2541%2541"),
    ("https://example.org/%2541", "https://example.org/%2541"),
    ("https://example.org/%00%0a%20", "https://example.org/%00%0A%20"),
    ("https://example.org/+%2B", "https://example.org/+%2B"),
    # hosts
    ("https://example.org./a", "https://example.org/a"),
    ("https://EX_ample-1.org/", "https://ex_ample-1.org/"),
    ("https://ex%61mple%2Eorg/", "https://example.org/"),
    ("http://localhost", "http://localhost/"),
    ("http://192.0.2.1:80/", "http://192.0.2.1/"),
    ("http://münchen.example/", "http://xn--mnchen-3ya.example/"),
    ("http://MÜNCHEN.example./", "http://xn--mnchen-3ya.example/"),
    ("http://m%C3%BCnchen.example/", "http://xn--mnchen-3ya.example/"),
    ("http://XN--mnchen-3ya.example/", "http://xn--mnchen-3ya.example/"),
    ("http://faß.example/", "http://xn--fa-hia.example/"),
    ("http://βόλος.com", "http://xn--nxasmm1c.com/"),
    ("http://日本語。ＪＰ/", "http://xn--wgv71a119e.jp/"),
    ("http://ＧＯ.example１．org/", "http://go.example1.org/"),
    ("http://exa\u00admple.org/", "http://example.org/"),
    ("http://i❤.example/", "http://xn--i-7iq.example/"),
    ("http://[2001:DB8::1]:80/a", "http://[2001:db8::1]/a"),
    ("http://[2001:0db8:0:0:0:0:0:0001]/", "http://[2001:db8::1]/"),
    ("http://[1:0::]:8080/", "http://[1::]:8080/"),
    ("http://[::ffff:192.0.2.1]/", "http://[::ffff:192.0.2.1]/"),
    ("http://[::FFFF:C000:201]/", "http://[::ffff:192.0.2.1]/"),
]


@pytest.mark.parametrize(("spelt", "meant"), SPELLINGS)
def test_an_address_has_one_normal_form(spelt: str, meant: str) -> None:
    assert normalise_url(spelt) == meant
    assert normalise_url(meant) == meant
    assert parts_of_item(item_of("", spelt)) == ("", meant)


REFUSED = {
    "scheme": [
        "",
        "example.org/feed.xml",
        "//example.org/feed.xml",
        "ftp://example.org/feed.xml",
        "feed:ftp://example.org/feed.xml",
        "javascript:alert(1)",
        "antennapod_local:folder",
        "http:example.org/",
        "http:/example.org/",
        "httpſ://example.org/",
        "httpſ://example.org:80/",
    ],
    "credentials": [
        "https://alice:secret@example.org/feed.xml",
        "https://alice@example.org/feed.xml",
        "https://@example.org/",
        "feed:https://alice:secret@example.org/",
        "https://example.org\\@evil.example/",
        "https://example.org%2f@evil.example/",
        "https://example.org／@evil.example/",
    ],
    "invalid_host": [
        "http:///feed.xml",
        "http://:80/",
        "http://./",
        "http://a..example/",
        "http://example.org../",
        "https://exa mple.org/",
        "https://exa%20mple.org/",
        "https://example%2Forg/",
        "https://example%40org/",
        "https://example%ffc.org/",
        "https://example.org\\a/",
        "https://example.org:99999/",
        "https://example.org:65536/",
        "https://example.org:000443/",
        "https://example.org:-1/",
        "https://example.org:1e3/",
        "https://example.org:٤٤٣/",
        "https://example.org:４４３/",
        "https://ex℀mple.org/",
        "https://example.org：443/",
        "https://a\u200db.example/",
        "https://\u0301a.example/",
        "https://[::1/",
        "https://::1/",
        "https://[:::]/",
        "https://[1.2.3.4]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1]evil.example/",
        "feed:feed:http://example.org/",
    ],
    "control_characters": [
        "https://example.org/\x00",
        "https://example.org/\r\nHost: evil",
        "https://example.org/a\tb",
        "https://exa\tmple.org/",
        "https://example.org/\x85a",
        "https://example.org/#a\x1bb",
        "https://example.org/\ud800",
    ],
    "too_long": ["https://example.org/" + "x" * 2_029, "https://example.org/" + "ü" * 339],
}


@pytest.mark.parametrize(("code", "url"), [(code, url) for code, urls in REFUSED.items() for url in urls])
def test_it_refuses_what_is_no_address_and_says_why(code: str, url: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        feed_of_url(url)
    assert refused.value.code == code
    assert code in CODES_OF_ADDRESSES


def test_a_feed_url_has_at_most_2048_bytes() -> None:
    """The limit applies to the normal form, so that this form is a valid address, too."""
    longest = "https://example.org/" + "é" * 338
    assert len(normalise_url(longest)) == 2048
    assert url_of_feed(normalise_feed(encoded(longest))) == normalise_url(longest)
    for longer in (longest + "x", "https://example.org/" + "x" * 2_029):
        with pytest.raises(InvalidIdentifier):
            normalise_feed(encoded(longer))


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
        (
            "guid,https://a.example/track,https://b.example/3,http://c",
            "guid",
            "https://a.example/track,https://b.example/3,http://c",
        ),
        (" guid\n of  two\t,  HTTPS://Example.org:443/1.mp3 ", "guid of two", "https://example.org/1.mp3"),
        ("guid, comma,http://example.org", "guid, comma", "http://example.org/"),
        ("guid,https://example.org/1,", "guid,https://example.org/1", ""),
        ("a, http://b.example,http://c.example/", "a, http://b.example", "http://c.example/"),
        ("tag:example.org,2020:1,", "tag:example.org,2020:1", ""),
        (",https://example.org/1.mp3", "", "https://example.org/1.mp3"),
    ],
)
def test_the_enclosure_starts_after_the_first_comma_of_a_url(text: str, guid: str, enclosure: str) -> None:
    assert parts_of_item(normalise_item(encoded(text))) == (guid, enclosure)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (",", "no_episode"),
        (" , ", "no_episode"),
        ("guid", "invalid_item"),
        ("a,b", "invalid_item"),
        ("guid,ftp://example.org/1.mp3", "scheme"),
        ("guid,httpſ://example.org/1.mp3", "invalid_item"),
        ("guid,https://a:b@example.org/1.mp3", "credentials"),
        ("guid,https:///1.mp3", "invalid_host"),
        ("", "invalid_base64"),
        ("gu\x00id,", "control_characters"),
        ("gu\x1bid,", "control_characters"),
        ("gu\u2028id,", "control_characters"),
    ],
)
def test_it_refuses_what_is_no_item(text: str, code: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        normalise_item(encoded(text))
    assert refused.value.code == code


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
