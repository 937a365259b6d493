"""The feeds that a web page links to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.autodiscovery import MOST, FeedLink, feeds_in

SITE = "https://show.example/about/"


def links(*tags: str, base: str = "") -> list[tuple[str, str]]:
    page = f"<!doctype html><html><head>{base}{''.join(tags)}</head><body>Hello</body></html>"
    return [(link.url, link.title) for link in feeds_in(page.encode(), SITE)]


def alternate(href: str, kind: str = "application/rss+xml", title: str = "", rel: str = "alternate") -> str:
    return f'<link rel="{rel}" type="{kind}" href="{href}" title="{title}">'


def test_links_for_programs_are_found_whatever_their_spelling() -> None:
    found = links(
        alternate("../feed.xml", title=" The  show "),
        alternate("//cdn.example/atom", "Application/Atom+XML; charset=utf-8", rel="ALTERNATE home"),
        alternate("feed:https://other.example/rss", rel="feed"),
        alternate("../feed.xml", title="again"),
        "<LINK HREF=/bare TYPE=application/rss+xml REL=alternate>",
    )
    assert found == [
        ("https://show.example/feed.xml", "The show"),
        ("https://cdn.example/atom", ""),
        ("https://show.example/bare", ""),
    ]


def test_what_is_no_feed_is_left_out() -> None:
    tags = [
        alternate("/style.css", "text/css"),
        alternate("/fr", "text/html"),
        alternate("/icon.xml", rel="icon"),
        alternate("javascript:alert(1)"),
        alternate("https://user:word@show.example/feed"),
        alternate("ftp://show.example/feed"),
        alternate(""),
    ]
    assert links(*tags) == []


def test_addresses_are_of_the_page_or_of_its_base() -> None:
    assert (
        links(alternate("feed"), base='<base href="/podcast/">')[0][0] == "https://show.example/podcast/feed"
    )
    assert links(alternate("feed"), base='<base href="javascript:x">')[0][0] == f"{SITE}feed"


def test_feeds_of_comments_give_way_to_others() -> None:
    comments = alternate("/comments/feed/", title="Comments")
    assert links(comments, alternate("/feed/", title="Show")) == [("https://show.example/feed/", "Show")]
    assert links(comments) == [("https://show.example/comments/feed/", "Comments")]


def test_where_no_link_is_for_programs_those_for_readers_count() -> None:
    page = b"""<p><a href="/listen">Listen</a> <a href="/show.rss?x=1"><b>RSS</b> feed</a>
        <a type="application/rss+xml" href="/odd">Odd</a> <a href="https://apple.example/show">Apple</a>"""
    assert feeds_in(page, SITE) == [
        FeedLink("https://show.example/show.rss?x=1", "RSS feed"),
        FeedLink("https://show.example/odd", "Odd"),
    ]


def test_titles_are_read_in_the_encoding_of_the_page() -> None:
    page = '<meta charset="windows-1252"><link rel=alternate type=text/xml href=/x title="Café">'
    assert feeds_in(page.encode("cp1252"), SITE)[0].title == "Café"
    assert feeds_in(page.encode(), SITE)[0].title == "Café"


def test_a_page_of_many_feeds_is_cut() -> None:
    assert len(links(*(alternate(f"/{number}") for number in range(MOST + 5)))) == MOST


@pytest.mark.parametrize("body", [b"", b" ", b"\0", b"<", b"\xff\xfe", b"<div>" * 20_000, b"\x89PNG\r\n"])
def test_what_is_no_page_names_none(body: bytes) -> None:
    assert feeds_in(body, SITE) == []


@given(st.binary(max_size=300), st.text(max_size=60))
def test_no_page_breaks_it(body: bytes, text: str) -> None:
    page = f'<base href="{text}"><link rel=alternate type=text/xml href="{text}">'
    for each in (body, page.encode("utf-8", "ignore")):
        assert all(link.url.startswith("http") for link in feeds_in(each, SITE))
