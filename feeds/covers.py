"""Covers: publishers' pictures, fetched once and served from our own address, so that no browser contacts a
publisher for them.

A cover's name is the picture's URL encrypted with AES-SIV: its first 16 bytes are a keyed digest of the URL
that nobody can guess, and the rest is the encrypted URL. A missing cover can thus be fetched without a table
of names. Files are stored as ``BALADOS_HOME/covers/<2>/<digest>.<size>.webp``; their modification time is
when the publisher was last asked for a newer one. ``<digest>.json`` next to them holds the validators; its
modification time is when the cover was last shown.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings
from django.core.cache import cache
from django.utils.crypto import salted_hmac
from msgspec import Struct
from redis import RedisError

SIZES: Final = (96, 300, 600)
DAY_S: Final = 86_400
REFRESH_AFTER_S: Final = 30 * DAY_S
# how long after a request for a cover it is not requested again
ASKED_S: Final = 600
_DIGEST_BYTES: Final = 16


class Cover(Struct, frozen=True):
    """A picture with its URL and its name here; ``digest`` (hexadecimal) determines the path of its files."""

    url: str
    name: str
    digest: str

    def file(self, size: int) -> Path:
        return directory() / self.digest[:2] / f"{self.digest}.{size}.webp"

    @property
    def validators(self) -> Path:
        return directory() / self.digest[:2] / f"{self.digest}.json"


def path_of(cover_url: str, *, title: str = "", key: str = "", size: int = 300) -> str | None:
    """Return the path of a publisher's picture on this server, at most ``size`` (96, 300 or 600) pixels wide
    and high; None where ``cover_url`` is empty.

    ``title`` and ``key`` (a feed's uid) determine what is drawn while the picture is missing; without them,
    the path answers "not found" meanwhile.
    """
    if not cover_url:
        return None
    drawn = f"?or={quote(_design(title, key))}" if title or key else ""
    return f"/covers/{name_of(cover_url)}/{size}.webp{drawn}"


def generated_path(title: str, key: str) -> str:
    """Return the path of a generated cover for a podcast without a picture: the initials of ``title`` on a
    colour derived from ``key``. It reveals nothing else about the podcast, and anybody can construct it."""
    return f"/covers/generated/{quote(_design(title, key))}.svg"


@lru_cache(maxsize=8_192)
def name_of(cover_url: str) -> str:
    """Return the name of a picture on this server."""
    sealed = _cipher(settings.SECRET_KEY).encrypt(cover_url.encode(), None)
    return urlsafe_b64encode(sealed).decode().rstrip("=")


def cover_of(name: str) -> Cover | None:
    """Return the picture of that name; None where this server did not make the name."""
    try:
        sealed = urlsafe_b64decode(name + "=" * (-len(name) % 4))
        url = _cipher(settings.SECRET_KEY).decrypt(sealed, None).decode()
    except (ValueError, Base64Error, InvalidTag):
        return None
    return Cover(url, name, sealed[:_DIGEST_BYTES].hex())


def read(cover: Cover, size: int, now: float) -> tuple[bytes, bool] | None:
    """Return a cover's file, and whether it is time to look for a newer one; None where there is no file.

    ``now`` is in seconds since 1970. Records that the cover was shown.
    """
    try:
        with cover.file(size).open("rb") as file:
            data, looked_at = file.read(), os.fstat(file.fileno()).st_mtime
        if cover.validators.stat().st_mtime < now - DAY_S:
            os.utime(cover.validators, (now, now))
    except FileNotFoundError:
        return None
    return data, looked_at < now - REFRESH_AFTER_S


def is_to_be_asked_for(cover: Cover) -> bool:
    """Whether nobody has requested this cover lately; marks it as requested. Always False without Redis."""
    try:
        return bool(cache.add(asked_marker(cover), True, ASKED_S))
    except RedisError:
        return False


def initials(title: str) -> str:
    """Return the initials of a title's first two words that have letters or digits: "The Daily" gives TD."""
    words = ("".join(filter(str.isalnum, word)) for word in title.split())
    letters = "".join(word[0] for word in words if word)[:2].upper()
    return "".join(filter(str.isalnum, letters))[:2]  # upper-casing may have added a combining mark


def drawing(design: str, *, is_for_now: bool = False) -> str | None:
    """Return the SVG of a design made by ``path_of`` or ``generated_path``; None where the design is invalid.
    A placeholder for a picture still to come is recognised by its size (static/modules/covers.js)."""
    hue, _, letters = design.partition("-")
    if not (hue.isascii() and hue.isdigit() and int(hue[:4]) < 360 and len(letters) <= 2):
        return None
    if letters and not letters.isalnum():
        return None
    size = ' width="8" height="8"' if is_for_now else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 300"{size}>'
        f'<rect width="300" height="300" fill="hsl({int(hue)} 45% 36%)"/>'
        '<text x="150" y="150" dy=".35em" text-anchor="middle" font-family="system-ui,sans-serif"'
        f' font-size="102" font-weight="700" fill="#fff">{letters}</text></svg>'
    )


def _design(title: str, key: str) -> str:
    hue = int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) % 360
    return f"{hue}-{initials(title)}"


@lru_cache(maxsize=2)
def _cipher(secret_key: str) -> AESSIV:
    # 512 bits: half for the digest, half for encrypting the URL
    return AESSIV(salted_hmac("feeds.covers", "names", secret=secret_key, algorithm="sha512").digest())


def directory() -> Path:
    """Return the directory of all covers' files."""
    return Path(settings.BALADOS_HOME) / "covers"


def asked_marker(cover: Cover) -> str:
    """Return the cache key that is set while a cover is not to be requested again."""
    return f"cover:{cover.digest}"
