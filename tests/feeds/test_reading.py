"""A document is read strictly; if that fails, leniently; and if that fails too, by feedparser."""

from feeds.documents import Episode
from feeds.read import read
from tests.feeds.reading import URL, code_of, read_all, rss

SMALL = rss('<guid>1</guid><enclosure url="https://cdn.example/1.mp3" length="5" type="audio/mpeg"/>')


def test_an_item_is_an_episode() -> None:
    document, episodes = read_all(SMALL)
    assert document.channel.title == "A show"
    assert (document.episode_count, document.recovered, document.warnings) == (1, False, [])
    assert episodes == [
        Episode(
            guid="1",
            enclosure_url="https://cdn.example/1.mp3",
            enclosure_type="audio/mpeg",
            enclosure_length=5,
        )
    ]


def test_what_is_not_well_formed_is_read_in_a_second_attempt() -> None:
    attempts: list[list[Episode]] = []

    def begin():  # type: ignore[no-untyped-def]
        attempts.append([])
        return attempts[-1].append

    document = read(SMALL.replace(b"A show", b"A & B"), content_type="", url=URL, begin=begin)
    assert (document.channel.title, document.recovered) == ("A & B", True)
    assert [len(episodes) for episodes in attempts] == [0, 1]


def test_what_is_no_feed_is_refused() -> None:
    refused = {
        b"": "not_a_feed",
        b"  \n": "not_a_feed",
        b"<!DOCTYPE html><html><body><rss><channel/></rss></body></html>": "not_a_feed",
        b"<html><head><title>404</title></head></html>": "not_a_feed",
        b'{"error": 404}': "not_a_feed",
        b'{"version": "https://jsonfeed.org/version/1.1", "items": []}': "unsupported",
        b"\x89PNG\r\n\x1a\n\x00\x00": "not_a_feed",
        b"<opml><body/></opml>": "not_a_feed",
        b"plain text": "not_a_feed",
    }
    assert {body: code_of(body) for body in refused} == refused


def test_an_empty_feed_is_a_feed() -> None:
    for body in (
        b"<rss/>",
        b'<rss version="2.0"><channel/></rss>',
        b'<feed xmlns="http://www.w3.org/2005/Atom"/>',
    ):
        document, episodes = read_all(body)
        assert (document.episode_count, document.recovered, episodes) == (0, False, [])


def test_items_without_a_channel_are_read() -> None:
    _, episodes = read_all(b"<rss><item><guid>1</guid></item></rss>")
    assert [episode.guid for episode in episodes] == ["1"]
