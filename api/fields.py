"""The kinds of values in requests: how each is checked, normalised, read from a query string and documented.

A field is declared once, as an annotated type of a msgspec Struct; decoding (api/parsers.py), the list of
errors (api/validation.py) and the OpenAPI document (api/schema.py) all use that declaration.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, MsgspecError, Struct, json

from eventstore.domain.identifiers import (
    LONGEST_FEED_URL,
    feed_of_url,
    normalise_enclosure,
    normalise_feed,
    normalise_guid,
    normalise_item,
)
from eventstore.domain.times import in_utc

LONGEST_SOURCE_ID = 512
LONGEST_CURSOR = 512
LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_TITLE = 200, 4_000, 1_000
LONGEST_DEVICE, LONGEST_CAPTION, LONGEST_SETTINGS = 255, 255, 2_000_000
PAGE, LONGEST_PAGE = 100, 1_000
LAST_POSITION = 2**31 - 1
# matches a whole text, in a query string or in JSON
_SECOND_60 = re.compile(r'(^|")(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):60(?:\.\d+)?(?=[Zz+-])', re.ASCII)


def trimmed(text: str) -> str:
    """Return the name without surrounding blanks. Raises ``ValueError`` if it is empty or too long."""
    name = text.strip()
    if not name:
        raise ValueError("empty")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"longer than {LONGEST_NAME} characters")
    return name


def json_object(text: str) -> str:
    """Return a JSON object with its names sorted. Raises ``ValueError`` for anything else."""
    try:
        return json.encode(json.decode(text, type=dict[str, Any]), order="sorted").decode()
    except (MsgspecError, RecursionError):
        raise ValueError("not a JSON object") from None


def _page_size(text: str) -> object:
    # [0-9], because \d and int() accept the digits of every script
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def _flag(text: str) -> object:
    return {"true": True, "false": False}.get(text.lower(), text)


def _spaces_as_plus(text: str) -> str:
    """Restore each "+" that was not percent-encoded: it arrives as a space, which base64 does not have."""
    return text.replace(" ", "+")


def leap_second(text: str) -> str:
    """Replace the leap second 60, which clocks show now and then but Python's times do not have."""
    return _SECOND_60.sub(r"\1\2:59.999999", text)


def _time(text: str) -> str:
    return leap_second(re.sub(r" (?=\d\d:\d\d$)", "+", text))


def meta(
    description: str,
    *,
    normalise: Callable[[Any], object] | None = None,
    parse: Callable[[str], object] | None = None,
    example: object = None,
    format: str | None = None,
    **constraints: Any,
) -> Meta:
    """Describe a kind of value. ``parse`` reads it from a query string; ``normalise`` raises ``ValueError``
    with the reason."""
    shown = {"format": format} if format else None
    examples = None if example is None else [example]
    extra = {"normalise": normalise, "parse": parse}
    return Meta(
        description=description, examples=examples, extra_json_schema=shown, extra=extra, **constraints
    )


# The length of these is checked by their normalisers, so that a value that is too long invalidates only its
# own entry.
Feed = Annotated[
    str,
    meta(
        "The feed's URL in base64, in the standard or the URL-safe alphabet, with or without padding.",
        normalise=normalise_feed,
        parse=_spaces_as_plus,
        format="rss-source-feed",
        example="aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVkLnhtbA==",
    ),
]
FeedUrl = Annotated[
    str,
    meta(
        "An absolute http or https URL without credentials.",
        normalise=feed_of_url,
        format="feed-url",
        max_length=LONGEST_FEED_URL,
        example="https://example.org/feed.xml",
    ),
]
Item = Annotated[
    str,
    meta(
        "`guid,enclosure_url` in base64, in the standard or the URL-safe alphabet, with or without padding.",
        normalise=normalise_item,
        format="rss-source-item",
        example="ZXBpc29kZS0xLGh0dHBzOi8vZXhhbXBsZS5vcmcvMS5tcDM=",
    ),
]
Guid = Annotated[
    str,
    meta(
        "The episode's GUID as given in its feed. It takes precedence over the one in the item.",
        normalise=normalise_guid,
        example="episode-1",
    ),
]
EnclosureUrl = Annotated[
    str,
    meta(
        "The URL of the episode's media file. It takes precedence over the one in the item.",
        normalise=normalise_enclosure,
        format="feed-url",
        example="https://example.org/1.mp3",
    ),
]
SourceId = Annotated[
    str, meta("The feed's id in the app's own directory, if it has one.", max_length=LONGEST_SOURCE_ID)
]
Seconds = Annotated[int, meta("A whole number of seconds.", ge=0, le=LAST_POSITION, example=3_600)]
DeviceId = Annotated[
    str,
    meta(
        "The id that a device gives itself.",
        pattern=r"^[\w.-]+$",
        max_length=LONGEST_DEVICE,
        example="phone-1",
    ),
]
Caption = Annotated[
    str, meta("A human-readable name for the device.", min_length=1, max_length=LONGEST_CAPTION)
]
AppName = Annotated[str, meta("The app, as it identifies itself.", max_length=LONGEST_CAPTION)]
DeviceKind = Annotated[Literal["desktop", "laptop", "mobile", "server", "other"], meta("The kind of device.")]
ActionKind = Annotated[Literal["download", "delete", "new", "flattr"], meta("What was done with an episode.")]
SettingsText = Annotated[
    str,
    meta(
        "The settings of a scope: a JSON object, encoded as a string.",
        normalise=json_object,
        max_length=LONGEST_SETTINGS,
        format="json-object",
        example='{"auto_download":true}',
    ),
]
Position = Annotated[
    int,
    meta(
        "The position in the episode, in whole seconds from its start.", ge=0, le=LAST_POSITION, example=754
    ),
]
Speed = Annotated[float, meta("The playback speed, as a factor.", ge=0.1, le=10, example=1.5)]
Time = Annotated[
    datetime,
    meta(
        "A date and time in RFC 3339, with a UTC offset.",
        normalise=in_utc,
        parse=_time,
        tz=True,
        example="2026-05-01T12:00:00Z",
    ),
]
Flag = Annotated[bool, meta("Either `true` or `false`.", parse=_flag)]
PageSize = Annotated[
    int, meta("The maximum number of entries to return.", parse=_page_size, ge=1, le=LONGEST_PAGE)
]
Cursor = Annotated[
    str,
    meta(
        "The `next_cursor` of the previous page, unchanged.",
        min_length=1,
        max_length=LONGEST_CURSOR,
        format="cursor",
    ),
]
SyncCursor = Annotated[
    str,
    meta(
        "The `cursor` of an earlier sync of this user on this server, unchanged; null for everything.",
        min_length=1,
        max_length=LONGEST_CURSOR,
        format="cursor",
    ),
]
Name = Annotated[
    str,
    meta(
        f"1 to {LONGEST_NAME} characters, not counting leading and trailing blanks, which are removed.",
        normalise=trimmed,
        min_length=1,
        # applies before trimming
        max_length=2 * LONGEST_NAME,
        example="Morning walk",
    ),
]
ListId = Annotated[UUID, meta("A UUID, chosen by the app or the server.")]
PlaylistKind = Annotated[
    Literal["list", "queue"],
    meta("`list`: a playlist that somebody made. `queue`: what the listener hears next; each user has one."),
]


def playlist_name(text: str) -> str:
    """``queue``, or a UUID in its usual form. Raises ``ValueError``."""
    return text if text == "queue" else str(UUID(text))


PlaylistName = Annotated[
    str,
    meta(
        "The id of a playlist, or `queue` for the episodes to play next.",
        normalise=playlist_name,
        pattern="^(queue|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
        example="queue",
    ),
]
PlaylistPlace = Annotated[
    Literal["first", "last"],
    meta(
        "Where to put the episode, even if it is in the playlist already. If left out, an episode that is in"
        " the playlist already keeps its place."
    ),
]
Description = Annotated[str, meta("A description of the list.", max_length=LONGEST_DESCRIPTION)]
Title = Annotated[str, meta("The title as given in the feed.", max_length=LONGEST_TITLE)]
# The length is limited because "$" also matches before a final newline.
_COLOR: dict[str, Any] = {"max_length": 7, "normalise": str.lower, "example": "#2f6f4e"}
Color = Annotated[str, meta("Red, green and blue in hexadecimal.", pattern="^#[0-9a-fA-F]{6}$", **_COLOR)]
NewColor = Annotated[
    str,
    meta(
        "Red, green and blue in hexadecimal, or an empty string to remove the color.",
        pattern="^(#[0-9a-fA-F]{6})?$",
        **_COLOR,
    ),
]
Level = Annotated[
    Literal["public", "anonymous", "private"],
    meta("What others may see: everything, only that somebody did it, or nothing."),
]
Category = Annotated[
    str,
    meta(
        "The slug of one of Apple's podcast categories.",
        pattern="^[a-z0-9-]+$",
        max_length=64,
        normalise=str.strip,
        example="society-and-culture",
    ),
]
Language = Annotated[
    str,
    meta(
        "A language code as given in feeds; case is ignored.",
        pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$",
        max_length=35,
        normalise=str.lower,
        example="fr",
    ),
]


class PageQuery(Struct):
    """Which page of a list to return."""

    limit: PageSize = PAGE
    cursor: Cursor | None = None
