"""Which addresses the client may connect to."""

from ipaddress import ip_network

import pytest

from feeds.addresses import Refused, Rules, is_allowed, redirect_of, target_of

PUBLIC = """
    93.184.215.14 8.8.8.8 192.0.1.1 2606:4700::1111 2a00:1450:4001:81b::200e ::ffff:8.8.8.8 2003::1
"""
FORBIDDEN = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255
    192.0.0.1 192.0.0.9 192.0.0.170 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1
    203.0.113.1 224.0.0.1 239.255.255.255 233.252.0.1 240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8
    64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::7f00:1 100::1 2001::1 2001:2::1 2001:10::1 2001:20::1
    2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00::1 fe80::1 fe80::1%eth0
    fec0::1 ff02::1 ff0e::1
    nonsense 127.1 2130706433
"""


def test_the_public_internet_is_allowed_and_nothing_else() -> None:
    assert [address for address in PUBLIC.split() if not is_allowed(address)] == []
    assert [address for address in FORBIDDEN.split() if is_allowed(address)] == []


def test_an_operator_opens_networks() -> None:
    opened = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert all(is_allowed(address, opened) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1"))
    assert not any(is_allowed(address, opened) for address in ("127.0.0.1", "::1", "11.0.0.0.1", "fc00::1"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.org/",
        "ftp://example.org/",
        "feed://example.org/",
        "//example.org/",
        "example.org",
        "",
        "http://",
        "http:///feed",
        "http://alice:secret@example.org/",
        "http://alice@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http://exa mple.org/",
        "http://[::1/",
        "http://example.org:22/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "https://balados.example/feed",
        "http://BALADOS.example./feed",
        "http://example.org/" + "a" * 9_000,
    ],
)
def test_what_is_no_address_of_a_feed_is_refused(url: str) -> None:
    rules = Rules(own=frozenset({("balados.example", 443), ("balados.example", 80)}))
    with pytest.raises(Refused):
        target_of(url, rules)


def test_paths_stay_as_they_are_but_for_what_no_url_may_have() -> None:
    asked = {
        "HTTP://Example.ORG:80/%7Eb/~b?a=%2f&b": "http://example.org/%7Eb/~b?a=%2f&b",
        "http://bücher.example/ä b?c d#top": "http://xn--bcher-kva.example/%C3%A4%20b?c%20d",
        "https://example.org:8443": "https://example.org:8443/",
        "http://example.org?a": "http://example.org/?a",
        "http://[2606:4700:0:0::1111]/": "http://[2606:4700::1111]/",
    }
    assert {url: target_of(url, Rules()).url for url in asked} == asked
    target = target_of("http://[2606:4700::1111]:8080/", Rules())
    assert (target.host, target.port) == ("2606:4700::1111", 8080)


def test_a_redirect_leads_where_the_rules_allow() -> None:
    at = target_of("https://example.org/a/b", Rules())
    assert redirect_of(at, "../c", Rules()).url == "https://example.org/c"
    assert redirect_of(at, "//other.example/x", Rules()).url == "https://other.example/x"
    with pytest.raises(Refused):
        redirect_of(at, "http://example.org/", Rules())
    assert redirect_of(at, "http://example.org/", Rules(allow_downgrade=True)).scheme == "http"
    for location in ("file:///etc/passwd", "javascript:alert(1)", "http://example.org:25/", "http://[bad"):
        with pytest.raises(Refused):
            redirect_of(at, location, Rules())
