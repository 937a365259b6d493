"""Read a transcript from the formats that publishers use into one form. Pure.

Supported are WebVTT, SubRip, the JSON of the podcast namespace, and plain HTML. Only text is kept, no markup.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from lxml import etree
from msgspec import Struct

from feeds.chapters import UnreadableDocument, plain, seconds

MOST, LONGEST_TEXT, LONGEST_SPEAKER = 20_000, 10_000, 200
# ordered by how well a format conveys who says what and when
PREFERENCE: Final = ("application/json", "text/vtt", "application/x-subrip", "application/srt", "text/html")
_TIMES = re.compile(r"((?:\d+:)?\d+:\d\d[.,]\d{1,3})[ \t]+-->[ \t]+((?:\d+:)?\d+:\d\d[.,]\d{1,3})")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]{1,200})>")
_SPEAKER = re.compile(r"([^\s:<>][^:<>\n]{0,60}):\s+(?=\S)")


class Segment(Struct, omit_defaults=True):
    """What was said from ``start`` to ``end``, in seconds; ``end`` equals ``start`` where it is unknown."""

    start: float
    end: float
    text: str
    speaker: str | None = None


# decodes segments as they are stored
stored_segments = msgspec.json.Decoder(list[Segment]).decode


def read(body: bytes) -> list[Segment]:
    """Return the segments of a document, in their order; the format is recognised by its first characters.
    Raises ``UnreadableDocument``."""
    text = body.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith(("{", "[")):
        found = _json(text)
    elif text.startswith("<"):
        found = _html(text)
    else:
        found = _cues(text)
    segments = [segment for segment, _ in zip(found, range(MOST), strict=False) if segment.text]
    if not segments:
        raise UnreadableDocument("The document holds no transcript.")
    return segments


def choose(listed: Iterable[Any]) -> dict[str, str] | None:
    """Return the most detailed transcript that a feed names (``Episode.extra["transcript"]``), or None."""
    named = [one for one in listed if isinstance(one, dict) and one.get("url")]
    return min(named, key=_rank, default=None)


def _rank(named: dict[str, str]) -> int:
    kind = str(named.get("type", "")).partition(";")[0].strip().lower()
    return PREFERENCE.index(kind) if kind in PREFERENCE else len(PREFERENCE)


def _json(text: str) -> Iterator[Segment]:
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableDocument("The transcript is not JSON.") from error
    listed = document.get("segments") if isinstance(document, dict) else document
    for one in listed if isinstance(listed, list) else ():
        start = seconds(one.get("startTime")) if isinstance(one, dict) else None
        if start is not None:
            yield _segment(start, seconds(one.get("endTime")), one.get("body"), one.get("speaker"))


def _cues(text: str) -> Iterator[Segment]:
    """Read WebVTT and SubRip, whose cues are alike: a line of times, and lines of text up to an empty one."""
    for cue in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        times = _TIMES.search(cue)
        if times is None:
            continue
        start, end = (seconds(time.replace(",", ".")) for time in times.groups())
        spoken = cue[times.end() :].partition("\n")[2]
        voice = _VOICE.search(spoken)
        if voice is not None:
            speaker, spoken = voice[1], spoken[voice.end() :]
        else:
            speaker, spoken = _split(spoken)
        if start is not None:
            yield _segment(start, end, spoken, speaker)


def _html(text: str) -> Iterator[Segment]:
    """Read ``cite`` (speaker), ``time`` (start) and ``p`` (text) elements in their order."""
    root = etree.fromstring(text, etree.HTMLParser(no_network=True, huge_tree=False))
    speaker, start = "", 0.0
    for node in () if root is None else root.iter("cite", "time", "p"):
        spoken = "".join(map(str, node.itertext()))
        if node.tag == "cite":
            speaker = spoken.strip().rstrip(":")
        elif node.tag == "time":
            start = seconds(spoken.strip()) or start
        else:
            yield _segment(start, None, spoken, speaker, is_markup=False)


def _segment(
    start: float, end: float | None, spoken: object, speaker: object, *, is_markup: bool = True
) -> Segment:
    text = plain(spoken) if is_markup else " ".join(str(spoken).split())
    who = plain(speaker)[:LONGEST_SPEAKER] or None
    return Segment(start, max(start, start if end is None else end), text[:LONGEST_TEXT], who)


def _split(spoken: str) -> tuple[str, str]:
    """Split off a speaker: ``Ann: Hello`` is said by Ann."""
    found = _SPEAKER.match(spoken)
    return (found[1], spoken[found.end() :]) if found else ("", spoken)
