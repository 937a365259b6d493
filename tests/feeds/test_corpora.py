"""The reader on the test documents of other feed readers."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from feeds.documents import Channel, Document, Episode, UnreadableFeed
from feeds.read.charset import to_utf8
from feeds.read.values import text_of_html
from tests.feeds.reading import CORPORA, code_of, read_all

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason=f"the documents in {CORPORA} are not there")

PODCASTPARSER = CORPORA / "podcastparser" / "tests" / "data"
FEEDPARSER = CORPORA / "feedparser" / "tests"

# Fields that podcastparser reads differently in its own documents, and why neither reading is a fault.
DIFFERENCES = {
    ("atom_published_updated", "description"): "the summary of Atom is a description",
    ("atom_updated", "description"): "the summary of Atom is a description",
    ("image_and_audio", "link"): "a GUID that is no address is no link",
    ("itunes_type_serial", "order"): "episodes stay in the order of the document",
    ("max_episodes", "count"): "it was asked for one episode alone",
    ("no_title_multi_enclosure", "count"): "an episode without a title is one",
    ("permalink", "guid"): "a GUID is kept as it is written",
    ("atom_relative_cover", "cover_url"): "it takes file://tests for a host",
}


def test_podcastparsers_documents_are_read_as_it_reads_them() -> None:
    found = {}
    for path in sorted(PODCASTPARSER.glob("*.rss")):
        for field, ours, theirs in compare(path):
            if ours != theirs and (path.stem, field) not in DIFFERENCES:
                found[path.stem, field] = (ours, theirs)
    assert found == {}


def compare(path: Path) -> Iterator[tuple[str, object, object]]:
    """Yield each field of a document as we read it and as podcastparser does."""
    base = "https://show.example/"
    theirs = json.loads(path.with_suffix(".json").read_text().replace("file://tests/data/", base))
    document, episodes = read_all(path.read_bytes(), url=base + path.name)
    channel = document.channel
    yield "title", channel.title or path.stem, theirs["title"]
    for field, name in {
        "link": "link",
        "cover_url": "cover_url",
        "description": "description",
        "language": "language",
        "copyright": "copyright",
        "new_feed_url": "new_location",
        "explicit": "explicit",
        "kind": "type",
        "locked": "import_prohibited",
    }.items():
        if name in theirs:
            yield field, getattr(channel, field), theirs[name]
    yield "count", len(episodes), len(theirs["episodes"])
    order = [episode["title"] for episode in theirs["episodes"]]
    yield "order", [episode.title or title for episode, title in zip(episodes, order, strict=False)], order
    if order == [episode.title or title for episode, title in zip(episodes, order, strict=False)]:
        for ours, other in zip(episodes, theirs["episodes"], strict=False):
            yield from compare_episodes(base, ours, other)


def compare_episodes(base: str, ours: Episode, theirs: Any) -> Iterator[tuple[str, object, object]]:
    yield "published", int(ours.published_at.timestamp()) if ours.published_at else 0, theirs["published"]
    yield "duration", ours.duration or 0, theirs["total_time"]
    # podcastparser invents a GUID where there is none, and takes one that is not a URL for a relative URL
    yield "guid", ours.guid in ("", theirs["guid"]) or urljoin(base, ours.guid) == theirs["guid"], True
    made_of_guid = theirs["link"] == theirs["guid"] and not ours.link
    yield "link", theirs["link"] if made_of_guid and "::" not in ours.guid else ours.link, theirs["link"]
    yield "description", ours.description, theirs.get("description_html") or theirs["description"]
    urls = [enclosure["url"] for enclosure in theirs["enclosures"]]
    yield "enclosure", ours.enclosure_url in urls or (not urls and not ours.enclosure_url), True
    for field, name in {
        "image_url": "episode_art_url",
        "season": "season",
        "number": "number",
        "kind": "type",
        "explicit": "explicit",
    }.items():
        if name in theirs:
            yield field, getattr(ours, field), theirs[name]


# the expected value in the comment at the top of each of feedparser's documents
EXPECTED = re.compile(
    r"""(feed|entries\[0\])((?:\[(?:'\w+'|0)\])+) == u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
)
OF_CHANNELS: dict[str, Callable[[Channel], object]] = {
    "['title']": lambda channel: channel.title,
    "['link']": lambda channel: channel.link,
    "['language']": lambda channel: channel.language,
    "['subtitle']": lambda channel: channel.description,
    "['rights']": lambda channel: channel.copyright,
    "['image']['href']": lambda channel: channel.cover_url,
}
OF_EPISODES: dict[str, Callable[[Episode], object]] = {
    "['title']": lambda episode: episode.title,
    "['link']": lambda episode: episode.link,
    "['id']": lambda episode: episode.guid,
    "['description']": lambda episode: episode.description,
    "['summary']": lambda episode: episode.description,
    "['content'][0]['value']": lambda episode: episode.description,
    "['enclosures'][0]['href']": lambda episode: episode.enclosure_url,
    "['enclosures'][0]['type']": lambda episode: episode.enclosure_type,
    "['image']['href']": lambda episode: episode.image_url,
}
# Of these we keep less than feedparser, or the other one of two texts.
KEPT_OTHERWISE = {
    "item_description_not_a_doctype": "a description goes in as it came and is sanitised on its way out",
    "entity_in_doctype": "refused: it declares an entity",
    "item_fullitem": "an element that no podcast has",
    "item_summary_and_description": "the richer of the two is kept",
    "entry_content_and_summary": "the richer of the two is kept",
    "itunes_channel_link_image": "an element that no podcast has",
    "itunes_item_link_image": "an element that no podcast has",
    "itunes_channel_subtitle": "a subtitle is no description",
    "entry_content_div_escaped_markup": "what is escaped twice stays text",
    "entry_title_inline_markup_2": "a title is text: its entities are characters",
    "feed_title_inline_markup_2": "a title is text: its entities are characters",
}


def test_feedparsers_documents_of_rss_itunes_and_atom_are_read_as_it_reads_them() -> None:
    found, compared = {}, 0
    for path in sorted(FEEDPARSER.glob("wellformed/*/*.xml")):
        promise = EXPECTED.search(path.read_text(errors="replace").partition("-->")[0])
        if path.parent.name not in ("rss", "itunes", "atom10") or promise is None:
            continue
        # we read only text from Atom content
        if path.stem in KEPT_OTHERWISE or "base64" in path.stem:
            continue
        ours = look_up(path, promise[1], promise[2])
        if ours is not None:
            compared += 1
            theirs = ast.literal_eval(promise[3])
            if plain(ours) != plain(theirs):
                found[path.name] = (ours, theirs)
    assert found == {}
    assert compared > 80


def look_up(path: Path, of: str, name: str) -> object:
    """The value that we read from the document; None for fields that we do not read."""
    body = path.read_bytes()
    # an item with neither a GUID nor an enclosure is not an episode, so add a GUID
    if b"<guid" not in body:
        body = body.replace(b"<item>", b"<item><guid>x</guid>")
    if b"<id" not in body:
        body = body.replace(b"<entry>", b"<entry><id>x</id>")
    document, episodes = read_all(body, url=f"http://127.0.0.1:8097/{path.name}")
    if of == "feed":
        return OF_CHANNELS[name](document.channel) if name in OF_CHANNELS else None
    return OF_EPISODES[name](episodes[0]) if name in OF_EPISODES else None


def plain(value: object) -> str:
    """The text without markup, so that different spellings of an empty element are equal."""
    return text_of_html(str(value)).strip()


def test_no_document_of_feedparsers_makes_an_error() -> None:
    paths = sorted(path for path in FEEDPARSER.rglob("*") if path.suffix in (".xml", ".json", ".rdf"))
    assert len(paths) > 2_000
    read, refused = 0, {}
    for path in paths:
        try:
            read_all(path.read_bytes())
            read += 1
        except UnreadableFeed as refusal:
            refused[path.relative_to(FEEDPARSER).as_posix()] = refusal.code
    assert read > 2_080
    assert refused["json/example.json"] == "unsupported"
    assert refused["wellformed/rss/entity_in_doctype.xml"] == "unsupported"


def test_every_tag_of_the_podcast_namespaces_example_is_kept() -> None:
    body = (CORPORA / "podcast-namespace" / "example.xml").read_bytes()
    document, episodes = read_all(body)
    assert not document.recovered
    assert document.channel.podcast_guid == ""  # the GUID in the example is not a UUID
    assert counts(document.channel.extra) == {
        "license": 1, "funding": 1, "location": 1, "medium": 1, "image": 4, "value": 1, "trailer": 1,
        "liveItem": 1, "podroll": 1,
    }  # fmt: skip
    assert [counts(episode.extra) for episode in episodes] == [
        {
            "image": 2, "season": 1, "episode": 1, "chapters": 1, "soundbite": 1, "transcript": 2,
            "person": 3, "location": 1, "alternateEnclosure": 5, "value": 1, "socialInteract": 2,
        },
        {
            "season": 1, "episode": 1, "chapters": 1, "soundbite": 1, "transcript": 1, "person": 3,
            "location": 2, "alternateEnclosure": 4, "value": 1,
        },
        {
            "season": 1, "episode": 1, "chapters": 1, "soundbite": 1, "transcript": 1, "person": 3,
            "alternateEnclosure": 4,
        },
    ]  # fmt: skip
    (value,) = document.channel.extra["value"]
    assert (value["method"], [one["split"] for one in value["valueRecipient"]]) == ("keysend", ["99", "1"])
    video = episodes[0].extra["alternateEnclosure"][4]
    assert video["height"] == "720"
    # addresses that no browser can open are left out
    assert video["source"] == [{"uri": "https://example.com/file-720.mp4"}]
    assert video["integrity"][0]["type"] == "sri"
    live = document.channel.extra["liveItem"][0]
    assert (live["status"], len(live["contentLink"])) == ("live", 2)
    assert live["enclosure"][0]["url"] == "https://example.com/pc20/livestream?format=.mp3"


def counts(extra: dict[str, list[Any]]) -> dict[str, int]:
    return {name: len(occurrences) for name, occurrences in extra.items()}


def test_the_documents_of_miniflux_and_reader_are_read() -> None:
    samples = {path.stem: path for path in (CORPORA / "miniflux").rglob("*.xml")}
    for name in ("iso-8859-1", "windows-1252", "utf8", "invalid-prolog", "utf8-incorrect-prolog"):
        text = as_text(samples[name].read_bytes())
        assert "\ufffd" not in text, name
    documents = {path.name: read_reader(path) for path in (CORPORA / "reader" / "tests" / "data").iterdir()
                 if path.suffix in (".rss", ".atom")}  # fmt: skip
    counted = {name: document.episode_count for name, document in documents.items()}
    assert counted == {"empty.atom": 1, "empty.rss": 1, "full.atom": 5, "full.rss": 5,
                       "relative.atom": 1, "relative.rss": 1}  # fmt: skip
    assert code_of((CORPORA / "reader" / "tests" / "data" / "full.json").read_bytes()) == "unsupported"


def as_text(body: bytes) -> str:
    return to_utf8(body, "text/xml")[0].decode()


def read_reader(path: Path) -> Document:
    return read_all(path.read_bytes())[0]
