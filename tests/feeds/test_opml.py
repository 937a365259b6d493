"""Lists of feeds, as other programs and we write them."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from eventstore.domain.identifiers import feed_of_url, url_of_feed
from feeds.opml import FeedList, OpmlRefused, Outline, read_opml, write_opml
from tests.feeds.reading import CORPORA

LISTPARSER = CORPORA / "listparser" / "tests" / "files"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def opml(*outlines: str) -> bytes:
    inside = "\n".join(outlines)
    return f'<opml version="2.0"><head/><body>\n{inside}\n</body></opml>'.encode()


def urls(listed: FeedList) -> list[str]:
    return [url_of_feed(feed) for feed in listed.feeds]


def codes(listed: FeedList) -> list[tuple[int, str, str]]:
    return [(row.line, row.code, row.url) for row in listed.bad]


def code_of(body: bytes) -> str:
    with pytest.raises(OpmlRefused) as refusal:
        read_opml(body)
    return refusal.value.code


def test_a_feed_is_any_outline_with_an_address() -> None:
    for attributes in (
        'type="rss" xmlUrl="https://a.example/f"',
        'type="link" xmlUrl="https://a.example/f"',
        'type="whatever" xmlurl=" https://a.example/f "',
        'URL="https://a.example/f"',
        'type="pie" XMLURL="feed:https://a.example:443/f" text=""',
    ):
        assert urls(read_opml(opml(f"<outline {attributes}/>"))) == ["https://a.example/f"], attributes


def test_the_schemes_of_podcast_apps_are_web_addresses() -> None:
    for scheme in ("feed", "itpc", "itms", "pcast", "podcast"):
        listed = read_opml(opml(f'<outline xmlUrl="{scheme}://a.example/f"/>'))
        assert urls(listed) == ["http://a.example/f"], scheme


def test_folders_are_where_their_feeds_are() -> None:
    listed = read_opml(
        opml(
            '<outline text="News "><outline xmlUrl="https://a.example/1"/><outline text="Deep">',
            '<outline xmlUrl="https://a.example/2"/></outline></outline>',
            '<outline title="NEWS"><outline xmlUrl="https://a.example/3"/></outline>',
            '<outline text="Deep"><outline xmlUrl="https://a.example/1"/></outline>',
            '<outline xmlUrl="https://a.example/4"/><outline text="Empty"/>',
        )
    )
    assert listed.folders == ["News", "Deep", "Empty"]
    assert list(listed.feeds.values()) == [["News", "Deep"], ["Deep"], ["News"], [""]]
    assert listed.bad == []


def test_bad_rows_are_named_with_their_lines() -> None:
    listed = read_opml(
        opml(
            '<outline xmlUrl="https://a.example/1"/>',
            '<outline xmlUrl="ftp://a.example/2"/>',
            '<outline xmlUrl="https://me:secret@a.example/3"/>',
            '<outline type="rss" text="none"/>',
            '<outline type="include" url="https://a.example/list.opml"/>',
            '<outline type="LINK" url="https://a.example/list.opml"/>',
            '<outline type="rss" xmlUrl="" htmlUrl="https://a.example/site"/>',
            f'<outline xmlUrl="https://a.example/{"x" * 3_000}"/>',
            '<outline xmlUrl="page.xml"/>',
        )
    )
    assert urls(listed) == ["https://a.example/1"]
    assert [(line, code) for line, code, _ in codes(listed)] == [
        (3, "scheme"),
        (4, "credentials"),
        (5, "no_url"),
        (6, "another_list"),
        (7, "another_list"),
        (8, "no_url"),
        (9, "too_long"),
        (10, "scheme"),
    ]
    assert codes(listed)[0][2] == "ftp://a.example/2"
    assert all(row.detail.endswith(".") and len(row.url) <= 2_048 for row in listed.bad)


@pytest.mark.parametrize(
    "end", ["", "\n<outline xmlUr", '\n<outline xmlUrl="https://a.exam', "\n</outline></bod", "\n\n"]
)
def test_a_list_that_was_cut_off_says_so(end: str) -> None:
    """Whoever moves here must not believe that everything came along."""
    whole = '<opml version="2.0"><body>\n<outline text="News">\n<outline xmlUrl="https://a.example/1"/>'
    listed = read_opml((whole + end).encode())
    assert urls(listed)[0] == "https://a.example/1"
    assert (listed.bad[0].code, listed.bad[0].url) == ("cut_off", "")
    assert listed.bad[0].line == 3 + end.rstrip().count("\n")


def test_a_malformed_list_that_is_complete_is_not_called_cut_off() -> None:
    listed = read_opml(opml('<outline text="A & B" xmlUrl="https://a.example/1"/>', "<outline"))
    assert "cut_off" not in [row.code for row in listed.bad]


def test_what_is_no_list_is_refused() -> None:
    for body in (b"", b"plain", b"{}", b"<html><body/></html>", b"<rss/>", b"<feed/>", b"\x89PNG"):
        assert code_of(body) == "not_opml", body
    assert code_of(b'<!DOCTYPE opml [<!ENTITY a "b">]><opml/>') == "entities"
    assert code_of(b'<!DOCTYPE opml [<!ENTITY x SYSTEM "file:///etc/passwd">]><opml/>') == "entities"


def test_a_list_that_is_too_large_is_refused_with_its_limit() -> None:
    row = '<outline xmlUrl="https://a.example/{}"/>'
    assert len(read_opml(opml(*map(row.format, range(10_000)))).feeds) == 10_000
    assert code_of(opml(*map(row.format, range(10_001)))) == "too_many_outlines"
    assert code_of(opml("<x/>" * 200_000)) == "too_many_outlines"

    def nested(levels: int) -> bytes:
        return opml("<outline text='x'>" * levels + "</outline>" * levels)

    assert read_opml(nested(100)).folders == ["x"]
    for levels in (101, 300, 200_000):
        assert code_of(nested(levels)) in ("too_many_levels", "too_many_outlines"), levels


@pytest.mark.skipif(not LISTPARSER.is_dir(), reason=f"the documents in {LISTPARSER} are not there")
def test_listparsers_documents_are_read_as_it_reads_them() -> None:
    found = {}
    for path in sorted(LISTPARSER.rglob("*.xml")):
        wanted = expected(path)
        ours = len(read_or_none(path).feeds)
        # that document has an unknown outline type, but we accept any outline with an address
        if wanted is not None and ours != wanted and path.stem != "outline_type-source":
            found[path.relative_to(LISTPARSER).as_posix()] = (ours, wanted)
    assert found == {}


def expected(path: Path) -> int | None:
    """How many feeds the comment at the top of the document says there are."""
    promise = re.search(r"len\(result\['feeds'\]\) == (\d+)", path.read_text(errors="replace"))
    return int(promise[1]) if promise else None


def read_or_none(path: Path) -> FeedList:
    try:
        return read_opml(path.read_bytes())
    except OpmlRefused:
        return FeedList({}, [], [])


TITLES = st.text(st.characters(codec="utf-8"), max_size=40)
HOSTS = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(st.lists(st.tuples(TITLES, HOSTS), max_size=5), TITLES, TITLES)
def test_what_we_write_any_program_can_read(feeds: list[tuple[str, str]], folder: str, title: str) -> None:
    outlines = [
        Outline(feed_of_url(f"https://{host}.example/f?a=1&b=2"), text, "https://a.example/<\"'>")
        for text, host in feeds
    ]
    written = write_opml(title, NOON, [("", outlines), (folder, outlines)])
    assert write_opml(title, NOON, [("", outlines), (folder, outlines)]) == written
    root = etree.fromstring(written)
    assert (root.tag, root.get("version")) == ("opml", "2.0")
    assert root.findtext("head/dateCreated") == "Thu, 01 Jan 2026 12:00:00 GMT"
    assert set(read_opml(written).feeds) == {outline.feed for outline in outlines}
    for outline in root.iter("outline"):
        if outline.get("type") == "rss":
            assert outline.get("text")
            assert outline.get("htmlUrl") == "https://a.example/<\"'>"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for document in (body, b"<opml><body>" + body, opml('<outline xmlUrl="x" text="') + body):
        try:
            read_opml(document)
        except OpmlRefused as refusal:
            assert refusal.code in ("not_opml", "entities")  # noqa: PT017
