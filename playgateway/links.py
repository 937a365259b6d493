"""Addresses of episodes behind a play token: made for feeds, read when a player asks. Pure.

``/play/{token}/{feed}/{item}.mp3?s=…``: the names as apps spell them, in any of the four base64 alphabets.
``s`` is our word that this token was shown this episode of this feed.
"""

import base64
import hmac
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from django.utils.crypto import salted_hmac

from eventstore.domain.identifiers import InvalidIdentifier, normalise_feed, normalise_item

# of the keys that links are signed with; an older one stays while its links are to be good
KEY_NUMBER: Final = "1"
KEYS: Final = {KEY_NUMBER: "playgateway.links.1"}
SIGNATURE_CHARACTERS: Final = 22
_URL_SAFE = str.maketrans("+/", "-_", "=")
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,5}", re.ASCII)
# of the types that feeds tell, where the address has no ending that players know
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
    """What an address asks for, normalised."""

    feed: str
    item: str


def sign(token_id: int, feed_uid: UUID, episode_id: int, key_number: str = KEY_NUMBER) -> str:
    """``s``: the number of the key, and 126 bits of HMAC-SHA-256."""
    signed = f"{token_id} {feed_uid} {episode_id}"
    digest = salted_hmac(KEYS[key_number], signed, algorithm="sha256").digest()
    text = base64.urlsafe_b64encode(digest).decode()
    return f"{key_number}{text[: SIGNATURE_CHARACTERS - 1]}"


def is_signed(s: str, token_id: int, feed_uid: UUID, episode_id: int) -> bool:
    """Whether ``s`` was made for this token, feed and episode, with a key that still counts."""
    if len(s) != SIGNATURE_CHARACTERS or s[0] not in KEYS or not s.isascii():
        return False
    return hmac.compare_digest(s, sign(token_id, feed_uid, episode_id, s[0]))


def path_of(token: str, named: Named, enclosure_url: str, enclosure_type: str, s: str) -> str:
    """The path and query of an episode's address, without ``/play``. Players look at how its path ends."""
    feed, item = named.feed.translate(_URL_SAFE), named.item.translate(_URL_SAFE)
    extension = extension_of(enclosure_url, enclosure_type)
    return f"/{token}/{feed}/{item}{f'.{extension}' if extension else ''}?s={s}"


def extension_of(enclosure_url: str, enclosure_type: str) -> str:
    """How the file's name ends, or would; "" where nothing tells."""
    try:
        path = urlsplit(enclosure_url).path
    except ValueError:
        path = ""
    ending = path.rpartition(".")[2].lower()
    if ending in KNOWN_EXTENSIONS:
        return ending
    return EXTENSIONS.get(enclosure_type.partition(";")[0].strip().lower(), "")


def read(path: str) -> Named | None:
    """The feed and the item in what follows the token; None where there are none.

    The standard alphabet has slashes: of the places where the feed could end, the first counts at which both
    parts are names.
    """
    path, _, extension = path.partition(".")
    if extension and not _EXTENSION.fullmatch(extension):
        return None
    for found in re.finditer("/", path):
        try:
            # slow to be refused is only what is longer than any name
            return Named(normalise_feed(path[: found.start()]), normalise_item(path[found.end() :]))
        except InvalidIdentifier:
            continue
    return None
