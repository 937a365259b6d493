"""Heads of HTTP responses, whatever a server writes into them."""

import gzip
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.answers import Head, code_of, gunzip, retry_after

NOON = 1_780_000_000.0
NAMES = ["Content-Length", "Content-Encoding", "Transfer-Encoding", "Location", "Retry-After", "Link", "X"]
values = st.one_of(
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40),
    st.from_regex(r"[0-9]{0,30}|gzip|gzip, gzip|identity|chunked|-1", fullmatch=True),
    st.datetimes().map(lambda moment: format_datetime(moment)),
)
statuses = st.one_of(st.integers(0, 999).map(str), st.text(max_size=6), st.just("9" * 5_000))


def head_of(status: str, *headers: tuple[str, str]) -> Head:
    head = Head()
    head.add(f"HTTP/1.1 {status} Fine\r\n".encode())
    for name, value in headers:
        head.add(f"{name}: {value}\r\n".encode("latin-1"))
    head.add(b"\r\n")
    return head


@given(statuses, st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=6), st.binary(max_size=60))
def test_whatever_it_says_it_is_read_or_refused(
    status: str, headers: list[tuple[str, str]], trailer: bytes
) -> None:
    head = head_of(status, *headers)
    before = head.plain()
    head.add(trailer)
    assert 0 <= head.status <= 999
    assert head.complete or 100 <= head.status < 200 or "\n" in status
    assert head.plain() == before or not head.complete
    assert head.announced() >= 0
    assert head.location is None or head.status in (301, 302, 303, 307, 308)
    code, _ = head.fault(1_000) or ("", "")
    assert code in ("", "bad_answer", "too_large")
    if code == "":
        assert head.announced() <= 1_000
    seconds = retry_after(head.value("retry-after"), NOON)
    assert seconds is None or seconds >= 0
    assert code_of(head.status, conditional=False) not in ("not_modified", "")


def test_of_several_answers_the_last_one_counts() -> None:
    head = Head()
    for line in (
        b"HTTP/1.1 103 Early\r\n",
        b"Link: <x>\r\n",
        b"\r\n",
        b"HTTP/2 200\r\n",
        b"A: b\r\n",
        b"\r\n",
    ):
        head.add(line)
    assert (head.status, head.plain(), head.complete) == (200, {"a": "b"}, True)


@given(st.binary(max_size=2_000), st.integers(0, 3_000), st.binary(max_size=30))
def test_what_was_packed_comes_back_or_is_refused_by_its_size(body: bytes, most: int, rest: bytes) -> None:
    packed = gzip.compress(body[:1_000]) + gzip.compress(body[1_000:])
    assert gunzip(packed, most) == (body if len(body) <= most else None)
    if not rest.startswith(b"\x1f\x8b"):
        assert gunzip(gzip.compress(body) + rest, 2_000) == body


@given(st.binary(min_size=1, max_size=200))
def test_half_of_it_is_no_body(body: bytes) -> None:
    packed = gzip.compress(body)
    for length in range(1, len(packed), 7):
        with pytest.raises(ValueError, match="gzip"):
            gunzip(packed[:length], 10_000)
