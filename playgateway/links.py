"""Addresses of episodes behind a play token: built for feeds, parsed when a
player requests them. Does no I/O.

``/play/{token}/{feed}/{item}.mp3?s=…``: the names are spelled as apps spell them, in any of the four base64
alphabets. ``s`` is a signature which proves that this token was shown this episode of this feed.
"""

import base64
import hmac
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from eventstore.domain.identifiers import InvalidIdentifier, normalise_feed, normalise_item
from playgateway import digests

# number of the key that signs links; an older key stays in ``KEYS`` as long as its links should work
KEY_NUMBER: Final = "1"
KEYS: Final = {KEY_NUMBER: "playgateway.links.1"}
SIGNATURE_CHARACTERS: Final = 22
_URL_SAFE = str.maketrans("+/", "-_", "=")
_SIGNATURE_ALONE = re.compile(r"s=([A-Za-z0-9_-]*)", re.ASCII)
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,5}", re.ASCII)
# by the media type that the feed gives, for addresses without an extension that players know
EXTENSIONS: Final = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/m4a": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "video/mp4": "mp4",
    "video/x-m4v": "m4v",
    "video/quicktime": "mov",
    "video/webm": "webm",
}
KNOWN_EXTENSIONS: Final = frozenset(EXTENSIONS.values())


class Named(NamedTuple):
    """The feed and item that an address names, normalised."""

    feed: str
    item: str


def sign(token_id: int, feed_uid: UUID, episode_id: int, key_number: str = KEY_NUMBER) -> str:
    """Return the signature ``s``: the number of the key, and 126 bits of HMAC-SHA-256."""
    digest = digests.keyed(KEYS[key_number], f"{token_id} {feed_uid} {episode_id}")
    text = base64.urlsafe_b64encode(digest).decode()
    return f"{key_number}{text[: SIGNATURE_CHARACTERS - 1]}"


def is_signed(s: str, token_id: int, feed_uid: UUID, episode_id: int) -> bool:
    """Whether ``s`` was made for this token, feed and episode, with a key that is still valid."""
    if len(s) != SIGNATURE_CHARACTERS or s[0] not in KEYS or not s.isascii():
        return False
    return hmac.compare_digest(s, sign(token_id, feed_uid, episode_id, s[0]))


def signature_alone(query: str) -> str | None:
    """Return ``s`` from a query that has no other parameter, like that of our own links; None for others."""
    found = _SIGNATURE_ALONE.fullmatch(query)
    return None if found is None else found[1]


def path_of(token: str, named: Named, enclosure_url: str, enclosure_type: str, s: str) -> str:
    """Return the path and query of an episode's address, without ``/play``. The path ends in a file
    extension, which players look at."""
    feed, item = named.feed.translate(_URL_SAFE), named.item.translate(_URL_SAFE)
    extension = extension_of(enclosure_url, enclosure_type)
    return f"/{token}/{feed}/{item}{f'.{extension}' if extension else ''}?s={s}"


def extension_of(enclosure_url: str, enclosure_type: str) -> str:
    """Return the file's extension from its address or its media type; "" if neither is known."""
    try:
        path = urlsplit(enclosure_url).path
    except ValueError:
        path = ""
    ending = path.rpartition(".")[2].lower()
    if ending in KNOWN_EXTENSIONS:
        return ending
    return EXTENSIONS.get(enclosure_type.partition(";")[0].strip().lower(), "")


def read(path: str) -> Named | None:
    """Return the feed and the item in the part of the path after the token; None if there are none.

    The standard base64 alphabet contains slashes, so the path is split at the first slash
    where both parts are valid names.
    """
    path, _, extension = path.partition(".")
    if extension and not _EXTENSION.fullmatch(extension):
        return None
    for found in re.finditer("/", path):
        try:
            # only a path longer than any name is slow to refuse
            return Named(normalise_feed(path[: found.start()]), normalise_item(path[found.end() :]))
        except InvalidIdentifier:
            continue
    return None
