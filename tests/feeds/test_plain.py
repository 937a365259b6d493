"""Plain documents are read by Python's own parser, all others by lxml, and the result is always the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from benchmarks.feed_documents import feed
from feeds.documents import Document, Episode, UnreadableFeed
from feeds.read.plain import LARGEST_ITEM, NotPlain, PlainReading
from feeds.read.xml import Reading
from tests.feeds.reading import CORPORA, NAMESPACES, read_all, rss
from tests.feeds.test_damage import FILE, TREES, as_xml, dated

PLAIN = rss(*(dated(number) + FILE.format(number) + "<title>été &amp; 東京</title>" for number in range(5)))
RDF = (
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">'
    b"<channel><title>A</title></channel><item><guid>1</guid></item><item><guid>2</guid></item></rdf:RDF>"
)
ATOM = (
    b'<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><id>1</id><author><name>B</name></author>'
    b'<content type="html">&lt;b&gt;c</content></entry><subtitle>late</subtitle></feed>'
)


def outcome(body: bytes) -> tuple[Document, list[Episode]] | str:
    try:
        return read_all(body)
    except UnreadableFeed as refusal:
        return refusal.code


@contextmanager
def only_lxml() -> Iterator[None]:
    with patch.object(PlainReading, "run", side_effect=NotPlain):
        yield


def outcome_of_lxml(body: bytes) -> tuple[Document, list[Episode]] | str:
    with only_lxml():
        return outcome(body)


def is_read_by_lxml(body: bytes) -> bool:
    with patch.object(Reading, "run", autospec=True, side_effect=Reading.run) as run:
        outcome(body)
    return run.called


def test_a_plain_document_is_read_without_lxml() -> None:
    assert not is_read_by_lxml(PLAIN)
    assert not is_read_by_lxml(feed(300, 40))
    with only_lxml():
        assert is_read_by_lxml(PLAIN)


UNUSUAL: dict[str, Callable[[], bytes]] = {
    "a DOCTYPE": lambda: b"<!DOCTYPE rss>" + PLAIN,
    "markup in a text": lambda: rss("<guid>1</guid><title>A <b>B</b> C</title>"),
    "a relative URL below xml:base": lambda: rss("<guid>1</guid><link>b</link>").replace(
        b"<channel>", b'<channel xml:base="https://elsewhere.example/a/">'
    ),
    "a large item": lambda: rss(f"<guid>1</guid><title>{'x' * (LARGEST_ITEM + 200_000)}</title>"),
    "no items": lambda: rss(),
    "very many items": lambda: rss(*map(dated, range(20_001))),
    "more episodes than are kept": lambda: rss(*map(dated, range(10_001))),
    "a namespace of its own": lambda: PLAIN.replace(b"<rss ", b'<rss xmlns="https://own.example/" '),
    "channels in channels": lambda: b"<rss>" + b"<channel>" * 50 + PLAIN[5:] + b"</channel>" * 50,
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_unusual_is_left_to_lxml(kind: str) -> None:
    body = UNUSUAL[kind]()
    assert is_read_by_lxml(body)
    assert outcome(body) == outcome_of_lxml(body)


@pytest.mark.parametrize(
    "body",
    [
        PLAIN,
        feed(300, 40),
        rss("<guid>1</guid><link>relative</link>"),
        rss("<guid>1</guid><title>a<!-- b -->c<?d e?>f<![CDATA[<g>]]>&#x41;</title>"),
        rss("<guid> \r\n 1\r2</guid><description>\r\n a \r\n b \r\n</description>"),
        rss(*['<guid>1</guid><enclosure url="https://a.example/?b&amp;c&#10;"/>'] * 2),
        b"<?xml version='1.0' encoding='iso-8859-1'?>"
        + PLAIN.decode().encode("latin-1", "xmlcharrefreplace"),
        rss("<guid>1</guid>").replace(
            b"</channel>", b"</channel><channel><item><guid>2</guid></item></channel>"
        ),
        rss().replace(b"</rss>", b"<item><guid>1</guid></item></rss>"),
        RDF,
        ATOM,
        rss(
            "<guid>1</guid>",
            channel='<podcast:liveItem status="live"><guid>live</guid></podcast:liveItem>'
            '<podcast:liveItem status="ended"><guid>2</guid><enclosure url="https://a.example/b"/></podcast:liveItem>',
        ),
    ],
)
def test_what_is_plain_is_read_as_lxml_reads_it(body: bytes) -> None:
    assert not is_read_by_lxml(body)
    assert outcome(body) == outcome_of_lxml(body)


@pytest.mark.skipif(not CORPORA.is_dir(), reason=f"the documents in {CORPORA} are not there")
def test_all_known_documents_are_read_as_lxml_reads_them() -> None:
    bodies = {path: named(path.read_bytes()) for path in sorted(CORPORA.rglob("*")) if path.is_file()}
    assert len(bodies) > 2_300
    assert [path for path, body in bodies.items() if outcome(body) != outcome_of_lxml(body)] == []


def named(body: bytes) -> bytes:
    """The document with a GUID in each item, because items that nothing names are left out."""
    return body.replace(b"<item>", b"<item><guid>x</guid>").replace(b"<entry>", b"<entry><id>x</id>")


@given(st.lists(TREES, min_size=1, max_size=5), st.lists(TREES, max_size=3))
def test_any_tree_is_read_as_lxml_reads_it(items: list[Any], channel: list[Any]) -> None:
    root = etree.fromstring(rss("<guid>1</guid>"))
    root[0].extend(map(as_xml, channel))
    for tree in items:
        etree.SubElement(root[0], "item").append(as_xml(tree))
    body = etree.tostring(root)
    assert outcome(body) == outcome_of_lxml(body)


# damage to the declarations of namespaces is left out: lxml refuses some URIs that other parsers accept
BEGINNING = PLAIN.index(b"<channel>")
DAMAGE = st.lists(
    st.tuples(st.integers(BEGINNING, len(PLAIN)), st.integers(0, 40), st.binary(max_size=20)),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(DAMAGE)
def test_any_damage_is_read_as_lxml_reads_it(damage: list[tuple[int, int, bytes]]) -> None:
    body = PLAIN
    for start, length, instead in damage:
        body = body[:start] + instead + body[start + length :]
    assert outcome(body) == outcome_of_lxml(body)


def test_a_document_may_be_cut_anywhere() -> None:
    body = rss("<guid>1</guid><title>été</title>", "<guid>2</guid>")
    for end in range(body.index(NAMESPACES.encode()), len(body)):
        assert outcome(body[:end]) == outcome_of_lxml(body[:end]), end
