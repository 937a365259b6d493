"""Feeds that we render, read back by independent programs."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import feedparser
import podcastparser
import pytest
from django.test import RequestFactory
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from msgspec import structs

from feeds.documents import Channel, Episode
from feeds.html import ELEMENTS, safe_html
from feeds.read import read
from feeds.render import ITUNES, OF_CHANNELS, OF_EPISODES, PODCAST, Item, channel_of, episode_of, render
from feeds.serving import Rendered, respond
from tests.feeds.rows import EpisodeFactory, FeedFactory

AT = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
URL = "https://balados.example/feed"
SANITIZE = Path(__file__).resolve().parents[2] / "../shared/data/feeds/feedparser/tests"
EXAMPLE = Path(__file__).resolve().parents[2] / "../shared/data/feeds/podcast-namespace/example.xml"
HOSTILE = [
    "]]>",
    "a & b < c > d",
    "\"quotes' and \\0 \\1 $1",
    "\x00\x08\x0b\x1f\ufffe\uffff",
    "\u202e right to left",
    "<script>alert(1)</script>",
    "&amp;lt;",
    "&#xD800;",
    "<?xml-stylesheet href='x'?>",
    "\U0001f3a7 é",
    "<![CDATA[x]]>",
]
# characters that XML can represent and that its readers leave unchanged
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zs", "Zl", "Zp", "Co"]), max_size=40
)


def example_channel(**fields: Any) -> Channel:
    defaults = {
        "title": "A show",
        "author": "Its people",
        "description": "About <b>things</b>",
        "link": "https://show.example/",
        "cover_url": "https://show.example/cover.png",
        "language": "fr",
        "copyright": "They",
        "kind": "serial",
        "medium": "podcast",
        "explicit": False,
        "locked": True,
        "complete": True,
        "podcast_guid": "9b024349-ccf0-5f69-a609-6b82873eab3c",
        "categories": ["Technology"],
        "extra": {
            "funding": [{"url": "https://show.example/give", "text": "Give"}],
            "person": [{"role": "host", "text": "Ann"}, {"role": "guest", "text": "Ben"}],
        },
    }
    return Channel(**{**defaults, **fields})


def example_episode(**fields: Any) -> Episode:
    defaults = {
        "guid": "one",
        "enclosure_url": "https://audio.example/1.mp3?a=1&b=2",
        "enclosure_type": "audio/mpeg",
        "enclosure_length": 1_234,
        "title": "The first",
        "link": "https://show.example/1",
        "description": "<p>Of <i>all</i> <a href='https://x.example/'>things</a></p>",
        "published_at": AT,
        "duration": 3_723,
        "image_url": "https://show.example/1.png",
        "season": 2,
        "number": 7,
        "kind": "full",
        "explicit": True,
        "extra": {
            "transcript": [{"url": "https://show.example/1.vtt", "type": "text/vtt", "language": "fr"}],
            "chapters": [{"url": "https://show.example/1.json", "type": "application/json+chapters"}],
            "alternateEnclosure": [
                {"type": "audio/opus", "source": [{"uri": "https://audio.example/1.opus"}]}
            ],
            "unheard_of": [{"x": "y"}],
        },
    }
    return Episode(**{**defaults, **fields})


def rendered(channel: Channel | None = None, *episodes: Episode) -> bytes:
    items = [Item(episode, episode.guid) for episode in episodes or (example_episode(),)]
    return render(channel or example_channel(), items, url=URL, changed_at=AT, newest_at=AT)


def by_podcastparser(document: bytes) -> dict[str, Any]:
    found: dict[str, Any] = podcastparser.parse(URL, BytesIO(document))
    return found


def test_three_readers_find_in_it_what_the_rows_say() -> None:
    document = rendered()
    theirs = feedparser.parse(document)
    assert not theirs.bozo
    feed, (entry,) = theirs.feed, theirs.entries
    assert (feed.title, feed.link, feed.language, feed.author) == (
        "A show",
        "https://show.example/",
        "fr",
        "Its people",
    )
    assert (entry.title, entry.id, entry.itunes_duration) == ("The first", "one", "3723")
    assert entry.published_parsed[:6] == (2026, 11, 20, 12, 0, 0)
    assert dict(entry.enclosures[0]) == {
        "href": "https://audio.example/1.mp3?a=1&b=2",
        "length": "1234",
        "type": "audio/mpeg",
    }
    theirs = by_podcastparser(document)
    (episode,) = theirs["episodes"]
    assert (theirs["title"], theirs["type"], theirs["language"]) == ("A show", "serial", "fr")
    assert (episode["guid"], episode["total_time"], episode["number"], episode["explicit"]) == (
        "one",
        3_723,
        7,
        True,
    )
    assert episode["enclosures"] == [
        {"url": "https://audio.example/1.mp3?a=1&b=2", "file_size": 1_234, "mime_type": "audio/mpeg"}
    ]


def test_our_own_reader_finds_in_it_what_went_in() -> None:
    episode, channel = example_episode(), example_channel()
    del episode.extra["unheard_of"]
    chapters = [{"start": "0", "title": "Hello"}, {"start": "00:01:00.5", "title": "End", "href": URL}]
    episode.extra["pscChapters"] = [{"version": "1.2", "chapter": chapters}]
    read_channel, (found,) = all_of(rendered(channel, episode))
    assert found.description == safe_html(episode.description)
    assert structs.replace(found, description="") == structs.replace(
        episode, description="", published_at=AT.replace(microsecond=0)
    )
    assert read_channel.extra.pop("medium") == [{"text": "podcast"}]
    assert structs.replace(read_channel, description="", self_url="", ttl_s=None) == structs.replace(
        channel, description=""
    )


@pytest.mark.skipif(not EXAMPLE.is_file(), reason="the namespace's example is not here")
def test_every_tag_of_the_namespaces_example_that_goes_out_is_read_again() -> None:
    """Nested tags are included."""
    first = all_of(EXAMPLE.read_bytes())
    again = all_of(rendered(first[0], *first[1]))
    kept = [name for name in OF_CHANNELS if name in first[0].extra]
    assert {name: again[0].extra.get(name) for name in kept} == {name: first[0].extra[name] for name in kept}
    assert {"funding", "value", "location", "license"} <= set(kept)
    for one, other in zip(first[1], again[1], strict=True):
        assert {n: v for n, v in other.extra.items() if n != "pscChapters"} == {
            name: value for name, value in one.extra.items() if name in OF_EPISODES
        }
        assert (one.enclosure_url, one.duration, one.number) == (
            other.enclosure_url,
            other.duration,
            other.number,
        )
    seen = {name for episode in first[1] for name in episode.extra}
    assert {"transcript", "chapters", "soundbite", "alternateEnclosure", "value", "socialInteract"} <= seen


def all_of(body: bytes) -> tuple[Channel, list[Episode]]:
    attempts: list[list[Episode]] = []

    def begin() -> Callable[[Episode], None]:
        attempts.append([])
        return attempts[-1].append

    document = read(body, content_type="", url=URL, begin=begin)
    return document.channel, attempts[-1]


def test_only_tags_that_are_known_go_out_and_in_their_namespaces() -> None:
    root = etree.fromstring(rendered())
    people = root.findall(f"channel/{{{PODCAST}}}person")
    assert [(person.get("role"), person.text) for person in people] == [("host", "Ann"), ("guest", "Ben")]
    source = root.find(f"channel/item/{{{PODCAST}}}alternateEnclosure/{{{PODCAST}}}source")
    assert source is not None
    assert source.get("uri") == "https://audio.example/1.opus"
    assert b"unheard_of" not in rendered()
    assert {node.tag for node in root.iter() if not isinstance(node.tag, str)} == set()


def test_hostile_texts_come_back_as_they_were_and_the_document_is_read_by_a_strict_parser() -> None:
    for text in HOSTILE:
        document = rendered(
            example_channel(title=text, author=text, copyright=text),
            example_episode(guid=text, title=text, extra={"person": [{"role": text, "text": text}]}),
        )
        root = etree.fromstring(document)
        kept = "".join(character for character in text if " " <= character < "\ufffe" or character > "\uffff")
        for path in ("channel/title", f"channel/{{{ITUNES}}}author", "channel/item/title"):
            assert root.findtext(path, "").strip() == kept.strip(), (path, text)


@given(TEXT, TEXT, TEXT)
@settings(max_examples=60)
def test_texts_go_there_and_back(title: str, guid: str, author: str) -> None:
    root = etree.fromstring(rendered(example_channel(author=author), example_episode(title=title, guid=guid)))
    assert root.findtext("channel/item/title", "") == title
    assert root.findtext("channel/item/guid", "") == guid
    assert root.findtext(f"channel/{{{ITUNES}}}author", "") == author


def test_a_feed_of_which_nothing_is_known_is_one_all_the_same() -> None:
    document = render(Channel(), [Item(Episode(), "")], url="", changed_at=AT)
    assert not feedparser.parse(document).bozo
    assert by_podcastparser(document)["episodes"] == []


@pytest.mark.usefixtures("stores")
def test_the_same_rows_give_the_same_bytes() -> None:
    feed = FeedFactory.create(extra={"funding": [{"url": "https://x.example/", "text": "x"}]})
    EpisodeFactory.create_batch(3, feed=feed)

    def once() -> bytes:
        feed.refresh_from_db()
        rows = feed.episodes.order_by("-sort_at")
        items = [Item(episode_of(row), row.guid) for row in rows]
        return render(channel_of(feed), items, url=URL, changed_at=feed.changed_at)

    assert once() == once()
    assert len(feedparser.parse(once()).entries) == 3


@pytest.mark.usefixtures("stores")
def test_no_e_mail_address_of_a_publisher_goes_out() -> None:
    feed = FeedFactory.create(author="ann@show.example (Ann, Ben)", owner_email="ann@show.example")
    assert channel_of(feed).author == "Ann, Ben"
    feed.author = "Ann <ann@show.example>"
    assert channel_of(feed).author == "Ann"


def test_descriptions_run_load_and_style_nothing() -> None:
    hostile = (
        "<p onclick='x()' style='position:fixed'>Hi <img src='https://t.example/pixel'><script>x()</script>"
        "<a href='javascript:x()'>a</a><a href='https://x.example/'>b</a><svg onload=x()></svg>"
        "<iframe src='https://x.example'></iframe><style>p{}</style></p>"
    )
    assert safe_html(hostile) == (
        '<p>Hi <a rel="noopener noreferrer nofollow">a</a>'
        '<a href="https://x.example/" rel="noopener noreferrer nofollow">b</a></p>'
    )
    assert safe_html("1 < 2 & 3") == "1 &lt; 2 &amp; 3"


@pytest.mark.skipif(not SANITIZE.is_dir(), reason="feedparser's documents are not here")
def test_what_feedparser_is_tested_with_is_harmless_behind_it() -> None:
    found = 0
    for file in sorted(SANITIZE.rglob("sanitize/*.xml")):
        for entry in feedparser.parse(file.read_bytes(), sanitize_html=False).entries:
            for text in (entry.get("summary", ""), *(one.value for one in entry.get("content", ()))):
                found += 1
                shown = safe_html(text).lower()
                assert "<script" not in shown, file.name
                tree = etree.HTML(f"<div>{shown}</div>")
                for element in tree.iter():
                    assert element.tag in {"html", "body", "div"} | ELEMENTS, (file.name, element.tag)
                    assert not [
                        name for name in element.attrib if str(name).startswith("on") or name == "style"
                    ]
                    assert "script:" not in element.get("href", ""), file.name
    assert found > 50


def ask(document: bytes, **headers: str) -> Any:
    request = RequestFactory().get("/", headers=headers)
    return respond(request, Rendered.of(document, AT), {"Cache-Control": "no-store"})


def test_it_is_sent_once_and_then_said_to_be_the_same() -> None:
    document = rendered()
    plain, packed = ask(document), ask(document, accept_encoding="br, gzip;q=0.5")
    assert plain.content == document
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.content) == document
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["ETag"] != packed.headers["ETag"]
    assert ask(document, accept_encoding="gzip;q=0, identity").content == document
    for answer, encoding in ((plain, ""), (packed, "gzip")):
        for known in (
            {"if_none_match": answer.headers["ETag"]},
            {"if_modified_since": answer.headers["Last-Modified"]},
        ):
            again = ask(document, accept_encoding=encoding, **known)
            assert (again.status_code, again.content) == (304, b""), known
            assert again.headers["ETag"] == answer.headers["ETag"]
    changed = ask(rendered(example_channel(title="Another")), if_none_match=plain.headers["ETag"])
    assert changed.status_code == 200


def test_a_browser_runs_nothing_of_it() -> None:
    answer = ask(rendered())
    assert answer.headers["Content-Type"] == "application/rss+xml; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_where_times_do_not_tell_all_only_the_etag_is_believed() -> None:
    request = RequestFactory().get("/", headers={"if_modified_since": "Fri, 20 Nov 2026 12:00:00 GMT"})
    found = Rendered.of(rendered(), AT)
    assert respond(request, found, {}).status_code == 304
    assert respond(request, found, {}, by_time=False).status_code == 200
