"""Hostile, broken and huge documents: bounded work, no errors but our own refusals, and no lost data."""

import random
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from feeds.documents import Document, Episode
from feeds.read import WARNINGS, read
from feeds.read.fallback import LARGEST
from tests.feeds.origin import Origin
from tests.feeds.reading import NAMESPACES, URL, code_of, read_all, rss

FILE = '<enclosure url="https://cdn.example/{}.mp3" length="5" type="audio/mpeg"/>'
NEWEST = datetime(2026, 1, 1, tzinfo=UTC)


def dated(number: int, newest: datetime = NEWEST) -> str:
    """An item whose age in hours is its number."""
    return f"<guid>{number}</guid><pubDate>{format_datetime(newest - timedelta(hours=number))}</pubDate>"


def test_declarations_of_entities_are_refused_and_an_old_doctype_is_read() -> None:
    bomb = '<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    outside = '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    parameter = '<!DOCTYPE rss [ <!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x; ]>'
    hidden = '<!-- <rss> --><?pi <rss>?><!DOCTYPE rss [<!-- ]> --><!ENTITY b "x">]>'
    endless = "<!DOCTYPE rss [" + " " * 70_000 + '<!ENTITY a "x">]>'
    for doctype in (bomb, outside, parameter, hidden, endless):
        for encoding in ("utf-8", "utf-16"):
            body = f"{doctype}<rss><channel><title>&b;&x;</title></channel></rss>".encode(encoding)
            assert code_of(body) == "unsupported", doctype[:60]
    for doctype in (
        '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss-0.91.dtd">',
        "<!DOCTYPE rss [<!ELEMENT rss ANY>]>",
    ):
        body = f"{doctype}<rss><channel><title>Caf&eacute;</title></channel></rss>".encode()
        document, _ = read_all(body)
        assert (document.channel.title, document.recovered) == ("Café", False)


def test_nothing_that_a_document_names_is_fetched_or_included(origin: Origin) -> None:
    canary = origin.url("/canary")
    xinclude = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
    episode = "<item><guid>1</guid><title>One{}</title></item>"
    documents = [
        f'<!DOCTYPE rss SYSTEM "{canary}"><rss><channel>{episode.format("")}</channel></rss>',
        f'<?xml-stylesheet href="{canary}"?><rss><channel>{episode.format("")}</channel></rss>',
        f'<rss {xinclude}><xi:include href="{canary}"/><channel>{episode.format("")}</channel></rss>',
        *(
            f"<rss {xinclude}><channel>{episode.format(included)}</channel></rss>"
            for target in ("file:///etc/hostname", canary)
            for included in (
                f'<xi:include href="{target}" parse="text"/>',
                f'<?php include "{target}" ?>',
            )
        ),
    ]
    for text in documents:
        for body in (text, text.replace("</rss>", "&nbsp;</rss>")):  # the second attempt recovers
            _, episodes = read_all(body.encode())
            (found,) = episodes
            # a tag in a title is kept as text
            assert found.title == "One" or found.title in body, body
    assert origin.connections == 0


def test_entities_of_html_that_nobody_declared_are_characters() -> None:
    document, (episode,) = read_all(
        rss(
            "<guid>1</guid><title>A&nbsp;&amp;&hellip; &unheard; B&C &#x41;</title>"
            "<description><![CDATA[&nbsp;<b>&eacute;</b>]]></description>"
        )
    )
    assert episode.title == "A\u00a0&… &unheard; B&C A"
    assert episode.description == "&nbsp;<b>&eacute;</b>"
    assert document.recovered


def test_what_is_no_character_never_gets_through() -> None:
    for body in (
        rss("<guid>1</guid><title>A\x00\x08\x1b B&#0;&#8;&#xD800;&#xFFFF;</title>"),
        rss("<guid>1</guid><title>A B</title>").replace(b"A B", b"A\xed\xa0\x80 B\xef\xbf\xbe"),
        rss("<guid>1</guid><title>A B</title>").replace(b"</rss>", b"\x00</rss>"),
    ):
        document, episodes = read_all(body)
        text = msgspec.json.encode([document, episodes]).decode()
        assert not any(character in text for character in ("\\u0000", "\\u0008", "\x08", "\ufffe", "\uffff"))
        assert not any("\ud800" <= character <= "\udfff" for character in text)
        assert episodes[0].title.startswith("A")


def test_of_a_truncated_document_nothing_is_concluded() -> None:
    whole = rss(*(dated(number) + FILE.format(number) + "<title>été</title>" for number in range(40)))
    _, all_of_it = read_all(whole)
    start = whole.index(b"<item>")
    for cut in random.Random(1).sample(range(start, len(whole) - len(b"</rss>")), 200):
        document, episodes = read_all(whole[:cut])
        assert document.recovered, cut
        # every episode that was read is complete and unchanged
        assert episodes == all_of_it[: len(episodes)], cut


def test_messages_before_the_document_are_passed_over() -> None:
    body = b"<br />\n<b>Warning</b>: x in y.php\n<?xml version='1.0'?>" + rss("<guid>1</guid>")
    document, episodes = read_all(body)
    assert (len(episodes), document.recovered) == (1, True)
    document, episodes = read_all(b"\n\n  <?xml version='1.0'?>" + rss("<guid>1</guid>"))
    assert (len(episodes), document.recovered) == (1, False)


def test_an_odd_document_is_read_by_feedparser_up_to_4_mb() -> None:
    cdf = (
        '<CHANNEL HREF="https://show.example/"><TITLE>Old</TITLE>'
        '<ITEM HREF="https://show.example/1"><TITLE>First</TITLE></ITEM>{}</CHANNEL>'
    )
    document, _ = read_all(cdf.format("").encode())
    assert (document.channel.title, document.recovered) == ("Old", True)
    assert code_of(cdf.format("x" * LARGEST).encode()) == "not_a_feed"


def test_feedparser_is_never_given_the_name_of_a_file() -> None:
    assert code_of(b"/etc/hostname") == "not_a_feed"
    assert code_of(b"<channel>/etc/hostname</channel>") in ("", "not_a_feed")


def test_of_very_many_items_the_newest_10_000_are_kept() -> None:
    numbers = list(range(12_000))
    random.Random(1).shuffle(numbers)
    document, episodes = read_all(rss(*map(dated, numbers)))
    assert document.warnings == ["old_items_left_out"]
    assert (document.episode_count, document.recovered) == (10_000, False)
    assert {int(episode.guid) for episode in episodes} == set(range(10_000))
    assert document.oldest_at == NEWEST - timedelta(hours=9_999)
    assert [int(episode.guid) for episode in episodes] == [number for number in numbers if number < 10_000]


def test_of_60_000_items_the_first_20_000_are_looked_at() -> None:
    document, episodes = read_all(rss(*map(dated, range(60_000))))
    assert document.warnings == ["too_many_items", "old_items_left_out"]
    assert [int(episode.guid) for episode in episodes] == list(range(10_000))
    assert document.recovered


def read_or_refused(body: bytes, content_type: str = "") -> None:
    if code_of(body, content_type) == "":
        fits_the_store(*read_all(body, content_type))


def nested(depth: int) -> bytes:
    return b"<rss><channel>" + b"<a>" * depth + b"</a>" * depth + b"</channel></rss>"


HUGE: dict[str, Callable[[], bytes]] = {
    "levels": lambda: nested(200_000),
    "channels": lambda: b"<rss>" + b"<channel>" * 200_000 + b"<item><guid>1</guid></item>",
    "attributes": lambda: b"<rss><channel " + b"".join(b'a%d="" ' % n for n in range(200_000)) + b"/></rss>",
    "elements": lambda: b"<rss><channel>" + b"<a/>" * 2_000_000,
    "elements of an item": lambda: b"<rss><channel><item><guid>1</guid>" + b"<podcast:person/>" * 400_000,
    "a text": lambda: b"<rss><channel><title>" + b"x" * 12_000_000 + b"</title></channel></rss>",
    "a name": lambda: b"<rss><channel><" + b"x" * 12_000_000 + b"/></channel></rss>",
    "an open comment": lambda: b"<rss><!-- " + b"-" * 5_000_000,
    "open CDATA": lambda: b"<rss><channel><title>" + b"<![CDATA[" * 500_000,
    "ampersands": lambda: b"<rss><channel><title>" + b"&" * 2_000_000,
    "empty items": lambda: b"<rss><channel>" + b"<item/>" * 1_000_000,
    "no end": lambda: b"<" * 2_000_000,
    "names": lambda: b"<rss><channel>" + b"".join(b"<a%d/>" % n for n in range(100_000)),
}  # fmt: skip


@pytest.mark.parametrize("kind", HUGE)
def test_what_is_huge_costs_little(kind: str) -> None:
    body = HUGE[kind]()
    started = time.process_time()
    read_or_refused(body)
    assert time.process_time() - started < 4, kind


def test_memory_does_not_grow_with_the_items() -> None:
    """This measures Python's own memory; ``make bench ARGS=feeds`` measures that of the whole process."""
    words = "<description>" + "words " * 200 + "</description>"
    body = rss(*(dated(number) + FILE.format(number) + words for number in range(4_000)))
    count = 0

    def take(episode: Episode) -> None:
        nonlocal count
        count += 1

    tracemalloc.start()
    document = read(body, content_type="", url=URL, begin=lambda: take)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (document.episode_count, count) == (4_000, 4_000)
    assert len(body) > 5_000_000
    assert most < 1_000_000


TAGS = st.sampled_from(
    [
        "title",
        "guid",
        "link",
        "pubDate",
        "description",
        "enclosure",
        "itunes:duration",
        "itunes:image",
        "podcast:person",
        "podcast:value",
        "podcast:valueRecipient",
        "podcast:liveItem",
        "psc:chapters",
        "psc:chapter",
        "media:group",
        "media:content",
        "media:thumbnail",
        "atom:link",
        "content:encoded",
        "item",
        "channel",
        "image",
        "url",
        "itunes:category",
        "itunes:owner",
        "itunes:email",
    ]
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["url", "href", "type", "length", "start", "title", "rel", "status", "isPermaLink", "text", "srcset"]
    ),
    TEXTS,
    max_size=3,
)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.tuples(TAGS, ATTRIBUTES, TEXTS, st.just([])),
    lambda trees: st.tuples(TAGS, ATTRIBUTES, TEXTS, st.lists(trees, max_size=4)),
    max_leaves=20,
)


def as_xml(tree: Any) -> etree._Element:
    tag, attributes, text, children = tree
    prefix, _, local = tag.rpartition(":")
    spaces = dict(part.split("=") for part in NAMESPACES.split(" "))
    uri = spaces.get(f"xmlns:{prefix}", "").strip('"')
    element = etree.Element(f"{{{uri}}}{local}" if uri else local)
    for name, value in attributes.items():
        element.set(name, legal(value))
    element.text = legal(text)
    element.extend(map(as_xml, children))
    return element


def legal(text: str) -> str:
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


def fits_the_store(document: Document, episodes: list[Episode]) -> None:
    encoded = msgspec.json.encode([document, episodes])
    assert "\x00" not in encoded.decode()
    assert document.episode_count == len(episodes)
    assert set(document.warnings) <= WARNINGS.keys()
    for episode in episodes:
        assert episode.guid or episode.enclosure_url
        assert len(episode.title) <= 1_000
        assert -1 <= episode.enclosure_length <= 2**53
        for url in (episode.enclosure_url, episode.link, episode.image_url):
            assert url == "" or url.lower().startswith(("http://", "https://"))


@given(st.lists(TREES, max_size=5), st.lists(TREES, max_size=3))
def test_any_tree_is_read(items: list[Any], channel: list[Any]) -> None:
    root = etree.fromstring(rss("<guid>1</guid>"))
    root[0].extend(map(as_xml, channel))
    for tree in items:
        item = etree.SubElement(root[0], "item")
        item.append(as_xml(tree))
    document, episodes = read_all(etree.tostring(root))
    assert not document.recovered
    fits_the_store(document, episodes)


WHOLE = rss(*(dated(number) + FILE.format(number) + "<title>été &amp; 東京</title>" for number in range(5)))
DAMAGE = st.lists(
    st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), st.binary(max_size=20)), min_size=1, max_size=5
)


@settings(deadline=None)
@given(DAMAGE, st.sampled_from(["", "text/xml; charset=utf-8", "text/xml; charset=iso-8859-1"]))
def test_any_damage_is_read_or_refused(damage: list[tuple[int, int, bytes]], content_type: str) -> None:
    body = WHOLE
    for start, length, instead in damage:
        body = body[:start] + instead + body[start + length :]
    read_or_refused(body, content_type)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    read_or_refused(body)
    read_or_refused(b"<rss>" + body)
