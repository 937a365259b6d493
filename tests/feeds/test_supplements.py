"""Chapters and transcripts: all formats yield one structure, and hostile files yield nothing but text."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds import chapters, transcripts
from feeds.chapters import EpisodeChapter, UnreadableDocument
from feeds.transcripts import Segment

EXAMPLES = Path(__file__).resolve().parents[2] / "../shared/data/feeds/podcast-namespace/docs/examples"
PSC = b"""<?xml version="1.0"?><psc:chapters version="1.2" xmlns:psc="http://podlove.org/simple-chapters">
<psc:chapter start="00:01:00.5" title="Two"/><psc:chapter start="0" title="&lt;b&gt;One" href="https://x.example/"/>
<psc:chapter start="never" title="None"/></psc:chapters>"""


def test_chapters_of_each_form() -> None:
    document = b"""\xef\xbb\xbf{"chapters": [{"startTime": 60.5, "title": " <i>Two</i> &amp; more ",
        "img": "javascript:x()", "url": "https://x.example/"}, {"startTime": 0, "title": "One", "img": "ftp://x/"},
        {"startTime": 5, "toc": false}, {"startTime": -1}, {"startTime": true}, {"title": "x"}, 7]}"""
    assert chapters.read(document) == [
        EpisodeChapter(0.0, "One"),
        EpisodeChapter(60.5, "Two & more", link="https://x.example/"),
    ]
    assert chapters.read(PSC) == [
        EpisodeChapter(0.0, "One", link="https://x.example/"),
        EpisodeChapter(60.5, "Two"),
    ]
    extra = {
        "pscChapters": [{"chapter": [{"start": "1:02:03", "title": "Late", "image": "https://x.example/i"}]}]
    }
    assert chapters.in_feed(extra) == [EpisodeChapter(3_723.0, "Late", image="https://x.example/i")]
    assert chapters.in_feed({}) == []


def test_transcripts_of_each_form() -> None:
    segments = [Segment(0.5, 2.0, "Hello & <welcome>", "Ann"), Segment(2.0, 63.25, "two lines")]
    vtt = """WEBVTT - x

NOTE nothing

1
00:00:00.500 --> 00:00:02.000 align:start
<v.loud Ann>Hello &amp; &lt;welcome&gt;</v>

00:02.000 --> 01:03.250
<i>two</i>
lines
"""
    srt = "1\r\n00:00:00,500 --> 00:00:02,000\r\nAnn: Hello &amp; &lt;welcome&gt;\r\n\r\n2\r\n"
    srt += "00:00:02,000 --> 00:01:03,250\r\ntwo\r\nlines\r\n"
    assert transcripts.read(vtt.encode()) == segments
    assert transcripts.read(b"\xef\xbb\xbf" + srt.encode()) == segments
    json = b"""{"segments": [
        {"speaker": "Ann", "startTime": 0.5, "endTime": 2, "body": "Hello &amp; &lt;welcome&gt;"},
        {"startTime": 2, "endTime": 63.25, "body": "two lines"},
        {"body": "x"}, 7, {"startTime": 9, "body": ""}]}"""
    assert transcripts.read(json) == segments
    html = b"<cite>Ann:</cite><time>0:07</time><p>Hello &amp; <b>you</b></p><script>x()</script><p>more</p>"
    assert transcripts.read(html) == [
        Segment(7.0, 7.0, "Hello & you", "Ann"),
        Segment(7.0, 7.0, "more", "Ann"),
    ]


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the namespace's examples are not here")
def test_the_examples_of_the_namespace() -> None:
    for name, most in (("example.json", 3), ("exampleComplex.json", 5)):
        assert len(chapters.read((EXAMPLES / "chapters" / name).read_bytes())) >= most, name
    speakers: dict[str, Any] = {}
    for file in sorted((EXAMPLES / "transcripts").glob("example.*")):
        segments = transcripts.read(file.read_bytes())
        speakers[file.suffix] = segments[0].speaker
        assert all("<" not in segment.text for segment in segments)
    assert speakers == {".html": "Travis", ".json": "Darth Vader", ".srt": "Travis", ".vtt": "Sarah"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"chapters": 7, "segments": 7}',
        b"<html><body>Log in</body></html>",
        b"<",
        b"WEBVTT",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>',
    ],
)
def test_what_is_none_is_said_to_be_none(body: bytes) -> None:
    for read in (chapters.read, transcripts.read):
        with pytest.raises(UnreadableDocument):
            read(body)


@given(st.binary(max_size=300) | st.text("<>{}[]:-,\"'0123456789\n cvp/", max_size=300).map(str.encode))
def test_nothing_that_a_server_sends_is_more_than_unreadable(body: bytes) -> None:
    for read in (chapters.read, transcripts.read):
        with suppress(UnreadableDocument):
            read(body)


def test_the_form_that_tells_most_is_chosen() -> None:
    html, vtt = (
        {"url": "https://x.example/1", "type": "text/html"},
        {"url": "https://x.example/2", "type": "text/vtt"},
    )
    assert transcripts.choose([html, vtt, {"type": "application/json"}, "x"]) == vtt
    assert transcripts.choose([{"url": "https://x.example/3"}]) == {"url": "https://x.example/3"}
    assert transcripts.choose([]) is None
