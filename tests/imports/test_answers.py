"""Any answer of another server is either read, or refused as one that no sync server sends."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.domain.identifiers import InvalidIdentifier
from feeds.imports import answers, progress
from feeds.imports.client import Account, ServerFault, server_of
from feeds.imports.progress import Counts, Progress

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "caption", "type", "add", "actions", "timestamp", "url", "feed", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=25)
@given(JSON.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=40))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    for read in (answers.devices, answers.followed, answers.favourites):
        with suppress(ServerFault):
            assert isinstance(read(body), list)
    assert isinstance(answers.settings(body), dict)
    with suppress(ServerFault):
        page = answers.page(body)
        assert len(list(answers.actions(page.actions))) == len(page.actions)
        assert page.timestamp is None or page.timestamp >= 0


def test_one_bad_character_spoils_no_page_and_depth_no_server() -> None:
    page = answers.page(
        b'\xef\xbb\xbf{"actions": [{"guid": "\\ud800"}, {"guid": "good"}], "timestamp": "17.5"}'
    )
    assert page.timestamp == 17
    assert [one["guid"] for one in answers.actions(page.actions)] == ["\ud800", "good"]
    for body in (b"[" * 100_000, b'{"actions": ' + b"[" * 100_000, b'{"actions": {}}', b"", b"\xff"):
        with pytest.raises(ServerFault):
            answers.page(body)


@pytest.mark.parametrize(
    ("typed", "server"),
    [
        ("gpodder.net", "https://gpodder.net"),
        (" HTTPS://Cloud.Example.org/ ", "https://cloud.example.org"),
        ("cloud.example.org/index.php/apps/gpoddersync", "https://cloud.example.org"),
        ("http://x.example:8080/sync/api/2/devices/me.json?a=1#b", "http://x.example:8080/sync"),
        ("x.example/nextcloud/index.php/apps/files/?dir=/", "https://x.example/nextcloud"),
        ("x.example/subscriptions-of-us", "https://x.example/subscriptions-of-us"),
        ("bücher.example", "https://xn--bcher-kva.example"),
        ("192.168.1.5:8080", "https://192.168.1.5:8080"),
    ],
)
def test_an_address_is_taken_as_people_type_it(typed: str, server: str) -> None:
    assert server_of(typed) == server


@given(st.text(max_size=40))
def test_what_is_an_address_stays_one(text: str) -> None:
    try:
        server = server_of(text)
    except InvalidIdentifier:
        return
    assert server_of(server) == server


def test_no_password_is_shown_by_chance() -> None:
    account: Any = Account("https://x.example/sync", "me", "secret words")
    assert "secret" not in f"{account} {account!r} {[account]}"


def test_a_part_that_is_begun_anew_is_counted_anew() -> None:
    kept = Progress(stage="episodes")
    kept.refuse("episodes", 1, "https://me:word@x.example/\x00", "bad_time")
    kept.settle_part("episodes")
    kept.part = Counts(5, 1, 0)
    kept.refuse("episodes", 9, None, "bad_time")
    assert kept.of("episodes") == Counts(5, 1, 2)
    again = progress.decode(progress.encode(kept))
    again.begin_part()
    assert again.of("episodes") == Counts(0, 0, 1)
    assert [(row.number, row.text) for row in again.rows] == [(1, "https://…@x.example/")]
    assert progress.decode(b"") == Progress()
