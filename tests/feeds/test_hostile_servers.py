"""A hostile server can do nothing to the client."""

import gzip
import ssl
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pycurl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django.fixtures import Settings

from feeds import lookups
from feeds.fetch import MAX_BODY, Limits, Request, fetch, fetch_one
from feeds.room import Room
from feeds.transfer import Transfer
from tests.feeds.origin import (
    Origin,
    allowed,
    answer,
    dribble,
    encoded,
    endless_body,
    endless_headers,
    hang,
    raw,
    redirect,
)

MIB = 1024 * 1024
QUICK = Limits(connect_s=0.5, total_s=0.8)


def ends(origin: Origin, path: str, limits: Limits = QUICK) -> str:
    """The code of a fetch, after checking that it has no body unless it was successful."""
    outcome = fetch_one(Request(origin.url(path)), limits=limits)
    assert outcome.ok or outcome.body == b""
    assert outcome.seconds < limits.total_s + 1
    return outcome.code


def test_what_never_ends_is_ended(origin: Origin) -> None:
    origin.on("/body", endless_body())
    origin.on("/headers", endless_headers())
    origin.on("/header", raw(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 200_000 + b"\r\n\r\n", then="hang"))
    origin.on("/hang", hang())
    origin.on("/slow", dribble(0.1))
    origin.on(
        "/slow-head", raw(*(b"HTTP/1.1 200 OK\r\nX-Slow: yes"[i : i + 1] for i in range(20)), pause=0.1)
    )
    origin.on("/half", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then="hang"))
    origin.on("/slow-hop", raw(b"HTTP/1.1 302 Found\r\nLocation: /hang\r\n\r\n", then="hang"))
    before = psutil.Process().memory_info().rss
    found = {
        path: ends(origin, path, Limits(connect_s=3, total_s=3)) for path in ("/body", "/headers", "/header")
    }
    assert found == dict.fromkeys(found, "too_large")
    paths = ("/hang", "/slow", "/slow-head", "/half", "/slow-hop")
    ended = list(fetch((Request(origin.url(path)) for path in paths), limits=QUICK))
    assert [outcome.code for outcome in ended] == ["timeout"] * 5
    assert max(outcome.seconds for outcome in ended) < 2
    assert psutil.Process().memory_info().rss - before < 50 * MIB


def test_time_is_counted_over_all_redirects(origin: Origin) -> None:
    for number in range(6):
        origin.on(f"/{number}", answer(status=302, headers=[("Location", f"/{number + 1}")], delay=0.3))
    outcome = fetch_one(Request(origin.url("/0")), limits=QUICK)
    assert outcome.code == "timeout"
    assert outcome.seconds < 1.5
    assert len(outcome.hops) == 2


def test_bombs_do_not_go_off(origin: Origin) -> None:
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(b"\0" * MIB) for _ in range(200)) + bomb.flush()
    origin.on("/gzip", encoded("gzip", packed))
    origin.on("/members", encoded("gzip", gzip.compress(b"\0" * MIB) * 30))
    origin.on("/deflate", encoded("deflate", zlib.compress(b"<rss/>")))
    origin.on("/twice", encoded("gzip, gzip", gzip.compress(gzip.compress(b"<rss/>"))))
    origin.on(
        "/two-lines",
        answer(b"x", headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]),
    )
    origin.on("/brotli", encoded("br", b"\x0b\x02\x80<rss/>\x03"))
    origin.on("/zstd", encoded("zstd", b"x"))
    origin.on("/many", encoded(", ".join(["gzip"] * 5_000), b"x"))
    origin.on("/lie", encoded("gzip", b"<rss/>" * 100))
    origin.on("/half", encoded("gzip", gzip.compress(b"<rss/>" * 10_000)[:-40]))
    origin.on("/transfer", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"))
    before = psutil.Process().memory_info().rss
    origin.on("/ratio", encoded("gzip", gzip.compress(b"\0" * (5 * MIB))))
    found = {path: ends(origin, path) for path in ("/gzip", "/members", "/ratio")}
    assert found == dict.fromkeys(found, "too_large")
    assert psutil.Process().memory_info().rss - before < 50 * MIB
    paths = ["/deflate", "/twice", "/two-lines", "/brotli", "/zstd", "/many", "/lie", "/half", "/transfer"]
    found = {path: ends(origin, path) for path in paths}
    assert found == dict.fromkeys(paths, "bad_answer")


def test_two_layers_of_gzip_under_one_name_stay_packed(origin: Origin) -> None:
    inner = gzip.compress(b"<rss/>" * 1_000)
    origin.on("/feed", encoded("gzip", gzip.compress(inner)))
    assert fetch_one(Request(origin.url("/feed"))).body == inner


def test_lies_about_length_bring_nothing(origin: Origin) -> None:
    def head(*lines: str) -> bytes:
        return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()

    origin.on("/short", raw(head("Content-Length: 100") + b"<rss/>"))
    origin.on("/two", raw(head("Content-Length: 6", "Content-Length: 5") + b"<rss/>"))
    origin.on("/list", raw(head("Content-Length: 6, 5") + b"<rss/>"))
    origin.on("/negative", raw(head("Content-Length: -6") + b"<rss/>"))
    origin.on("/word", raw(head("Content-Length: six") + b"<rss/>"))
    origin.on("/unfinished", raw(head("Transfer-Encoding: chunked") + b"6\r\n<rss/>\r\n"))
    origin.on("/chunk", raw(head("Transfer-Encoding: chunked") + b"zz\r\n<rss/>\r\n"))
    origin.on("/old", raw(b"<rss/>"))
    origin.on("/nothing", raw(b""))
    found = {
        path: ends(origin, path) for path in ("/short", "/two", "/list", "/negative", "/word", "/unfinished")
    }
    assert found == dict.fromkeys(found, "bad_answer")
    assert {path: ends(origin, path) for path in ("/chunk", "/old", "/nothing")} == {
        "/chunk": "unreachable",
        "/old": "bad_answer",
        "/nothing": "unreachable",
    }
    origin.on("/long", raw(head("Content-Length: 6") + b"<rss/>" * 9, then="keep"))
    assert fetch_one(Request(origin.url("/long"))).body == b"<rss/>"


def test_what_announces_too_much_is_refused_before_its_body(origin: Origin) -> None:
    for length in (24 * MIB + 1, 10**30):
        origin.on("/large", raw(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode(), then="hang"))
        began = time.monotonic()
        assert ends(origin, "/large", Limits(total_s=5)) == "too_large"
        assert time.monotonic() - began < 2
    origin.on("/large", answer(b"x" * 2_000))
    assert fetch_one(Request(origin.url("/large"), max_body=1_999)).code == "too_large"
    assert fetch_one(Request(origin.url("/large"), max_body=2_000)).code == "ok"


def test_five_redirects_are_followed_and_no_sixth_and_no_loop(origin: Origin) -> None:
    for number in range(7):
        origin.on(f"/{number}", redirect(f"/{number + 1}", 301))
    origin.on("/7", answer(b"<rss/>"))
    assert len(fetch_one(Request(origin.url("/2"))).hops) == 5
    outcome = fetch_one(Request(origin.url("/1")))
    assert (outcome.code, len(outcome.hops), outcome.status) == ("too_many_redirects", 5, 301)
    origin.on("/self", redirect("/self", 301))
    origin.on("/ping", redirect("/pong"))
    origin.on("/pong", redirect("/ping"))
    for path, asked in (("/self", 1), ("/ping", 1)):
        assert ends(origin, path) == "too_many_redirects"
        assert len(origin.asked(path)) == asked


def test_redirects_that_lead_nowhere_are_bad_answers(origin: Origin) -> None:
    origin.on("/none", raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"))
    origin.on("/two", raw(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"))
    origin.on("/bad", redirect("http://[::1"))
    origin.on("/empty", redirect(""))
    found = {path: ends(origin, path) for path in ("/none", "/two", "/bad", "/empty")}
    assert found == dict.fromkeys(found, "bad_answer")


def test_redirects_into_the_house_are_refused_and_not_followed(origin: Origin, settings: Settings) -> None:
    with Origin("127.0.0.2") as inner, allowed(settings, inner, networks=("127.0.0.1/32",)):
        inner.otherwise(answer(b"secret"))
        port = inner.port
        targets = [
            *(f"http://{host}:{port}/" for host in ("127.0.0.2", "2130706434", "0x7f000002", "0177.0.0.2")),
            f"http://127.2:{port}/",
            f"http://[::ffff:127.0.0.2]:{port}/",
            f"http://127.0.0.2.:{port}/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "file:///etc/hostname",
            "gopher://127.0.0.2/",
            "dict://127.0.0.2/",
            "javascript:alert(1)",
            f"http://alice:secret@127.0.0.1:{origin.port}/",
            "http://127.0.0.1:22/",
            "http://localhost:8000/",
        ]
        origin.on("/deep", redirect("/deeper"))
        origin.on("/deeper", redirect(targets[0]))
        for number, target in enumerate(targets):
            origin.on(f"/{number}", redirect(target))
        paths = ["/deep", *(f"/{number}" for number in range(len(targets)))]
        found = {path: ends(origin, path) for path in paths}
        assert {path: code for path, code in found.items() if code != "refused"} == {}
        straight = [fetch_one(Request(url)).code for url in targets[:8]]
        assert straight == ["refused"] * 8
        assert inner.connections == 0


def test_a_name_is_refused_by_what_it_leads_to(
    origin: Origin, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.otherwise(answer(b"secret"))
    settings.FEED_ALLOW_NETWORKS = []
    names = {
        "one.example": ("127.0.0.1",),
        "also.example": ("93.184.215.14", "::1"),
        "mapped.example": ("::ffff:127.0.0.1",),
    }
    monkeypatch.setattr(lookups, "resolve", lambda host: names[host])
    monkeypatch.setattr(Transfer, "prepare", lambda *_: pytest.fail("something is connected to"))
    outcomes = list(fetch(Request(origin.url("/", host=name)) for name in names))
    assert [outcome.code for outcome in outcomes] == ["refused"] * 3
    assert len({outcome.detail for outcome in outcomes}) == 1
    assert origin.connections == 0


def test_an_answer_that_changes_between_the_check_and_the_connection_changes_nothing(
    origin: Origin, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libcurl is made to connect to another address than was looked up, as a second lookup might do."""
    origin.otherwise(answer(b"secret"))
    settings.FEED_ALLOW_NETWORKS = []
    monkeypatch.setattr(lookups, "resolve", lambda host: ("93.184.215.14",))
    prepare = Transfer.prepare

    def rebound(transfer: Transfer, handle: pycurl.Curl, found: tuple[str, ...], now: float) -> None:
        prepare(transfer, handle, found, now)
        handle.setopt(pycurl.RESOLVE, [f"{transfer.target.host}:{transfer.target.port}:127.0.0.1,::1"])

    monkeypatch.setattr(Transfer, "prepare", rebound)
    outcome = fetch_one(Request(origin.url("/", host="feeds.example")))
    assert outcome.code == "refused"
    assert origin.connections == 0


def test_an_address_of_this_machine_is_refused_though_it_be_public(
    origin: Origin, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.otherwise(answer(b"secret"))
    settings.FEED_ALLOW_NETWORKS = []
    monkeypatch.setattr("feeds.addresses._is_public", lambda address: True)
    assert fetch_one(Request(origin.url("/"))).code == "refused"
    assert origin.connections == 0


def test_bodies_in_flight_stay_within_their_room(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"x" * (2 * MIB)
    origin.on("/plain", answer(body))
    origin.on("/packed", answer(b"".join(bytes([i % 251]) * 97 for i in range(20_000)), packed=True))
    # this leaves 4 MiB for all bodies but the first
    small = Room(size=2 * MAX_BODY + 4 * MIB)
    for module in ("feeds.fetch", "feeds.transfer"):
        monkeypatch.setattr(f"{module}.room", small)
    urls = [origin.url("/plain"), origin.url("/packed")] * 20
    outcomes = list(fetch((Request(url, max_body=3 * MIB) for url in urls), concurrency=40))
    assert {outcome.code for outcome in outcomes} == {"ok"}
    assert sum(len(outcome.body) == len(body) for outcome in outcomes) == 20
    assert origin.busiest["127.0.0.1"] > 5
    assert 4 * MIB < small.most <= (4 + 2 * 3) * MIB
    assert not small.is_full


@pytest.fixture
def tls_origin(settings: Settings, tmp_path: Path) -> Iterator[Origin]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("feeds.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "both.pem").write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    with Origin(tls=context) as running, allowed(settings, running):
        yield running


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_origin: Origin) -> None:
    tls_origin.otherwise(answer(b"<rss/>"))
    assert ends(tls_origin, "/", Limits()) == "tls"
    assert tls_origin.requests == []


def test_a_redirect_from_https_to_http_is_refused_unless_the_operator_says_otherwise(
    tls_origin: Origin, origin: Origin, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "resolve", lambda host: ("127.0.0.1",))
    prepare = Transfer.prepare

    def trusting(transfer: Transfer, handle: pycurl.Curl, found: tuple[str, ...], now: float) -> None:
        prepare(transfer, handle, found, now)
        handle.setopt(pycurl.CAINFO, str(tmp_path / "both.pem"))

    monkeypatch.setattr(Transfer, "prepare", trusting)
    tls_origin.otherwise(redirect(origin.url("/feed"), 301))
    origin.on("/feed", answer(b"<rss/>"))
    url = tls_origin.url("/", host="feeds.example")
    assert fetch_one(Request(url)).code == "refused"
    assert origin.requests == []
    settings.FEED_ALLOW_DOWNGRADE = True
    assert fetch_one(Request(url)).body == b"<rss/>"
