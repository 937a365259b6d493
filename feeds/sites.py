"""Find out what is at an address that somebody typed: a feed, a page that names feeds, or an error.

The address is looked up by a worker, so that no request waits for a foreign server. The result is stored for
a while under a digest of the address, and encrypted with a key derived from it, because an address may itself
be a secret. No result is shown before a second has passed: how quickly our own rules refuse an address would
reveal what is in our network.
"""

from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

import msgspec
from cryptography.fernet import Fernet
from msgspec import Struct

from feeds.autodiscovery import FeedLink, feeds_in
from feeds.documents import UnreadableFeed
from feeds.fetch import Outcome, Request, fetch_one
from feeds.models import FetchedDocument
from feeds.read.beginning import inspect
from feeds.read.charset import to_utf8
from feeds.read.names import is_root

LARGEST: Final = 2 * 1024 * 1024  # bytes of a page
ACCEPT: Final = "text/html, application/xhtml+xml, application/rss+xml, application/atom+xml, */*;q=0.5"
KEPT: Final = timedelta(minutes=10)
# how long a failure is shown before the server is asked again
FAILED_FOR: Final = timedelta(seconds=10)
# longer than the client takes at most
PATIENCE: Final = timedelta(seconds=40)
SOONEST: Final = timedelta(seconds=1)


class Look(Struct):
    """The result of a look-up. ``links``: the feeds found; for a feed, itself. ``error``: the code of an
    outcome of ``feeds.fetch``, or of ``UnreadableFeed``; "" if all went well, even without a feed."""

    asked_at: datetime
    is_done: bool = False
    is_feed: bool = False
    links: list[FeedLink] = []
    error: str = ""


_LOOK = msgspec.json.Decoder(Look).decode


def ask(url: str, now: datetime) -> bool:
    """Note that somebody asks about an address; returns whether it must be looked up."""
    known = _kept(url, now)
    if known is not None and now < known.asked_at + (FAILED_FOR if known.error else KEPT):
        return False
    _keep(url, Look(now), now)
    return True


def found(url: str, now: datetime) -> Look | None:
    """Return the result, which is not done while the look-up is running. None if nobody has asked lately."""
    known = _kept(url, now)
    if known is None or now >= known.asked_at + SOONEST:
        return known
    return Look(known.asked_at)


def look_up(url: str, now: datetime) -> Look:
    """Fetch the address, and store and return the result."""
    known = _kept(url, now) or Look(now)
    outcome = fetch_one(Request(url, accept=ACCEPT, max_body=LARGEST))
    result = _judge(url, outcome, Look(known.asked_at, is_done=True))
    _keep(url, result, now)
    return result


def _judge(url: str, outcome: Outcome, look: Look) -> Look:
    if outcome.code == "too_large":  # no page is that large; the pump finds out whether it is a feed
        look.is_feed, look.links = True, [FeedLink(url, "")]
    elif outcome.code != "ok":
        look.error = outcome.code
    else:
        _read(look, url, outcome)
    return look


def _read(look: Look, url: str, outcome: Outcome) -> None:
    text, _ = to_utf8(outcome.body, outcome.headers.get("content-type", ""))
    try:
        look.is_feed = is_root(inspect(text).root)
    except UnreadableFeed as failure:
        look.error = failure.code if failure.code == "unsupported" else ""
    if look.is_feed:
        look.links = [FeedLink(url, "")]
    elif not look.error:
        look.links = feeds_in(outcome.body, outcome.url)


def _kept(url: str, now: datetime) -> Look | None:
    row = FetchedDocument.objects.filter(url_digest=_digest(url)).first()
    if row is None:
        return None
    look = _LOOK(_cipher(url).decrypt(bytes(row.content)))
    if now >= look.asked_at + KEPT:
        return None
    if not look.is_done and now >= look.asked_at + PATIENCE:
        return Look(look.asked_at, is_done=True, error="timeout")
    return look


def _keep(url: str, look: Look, now: datetime) -> None:
    content = _cipher(url).encrypt(msgspec.json.encode(look))
    kept = {"content": content, "error": look.error, "fetched_at": now}
    FetchedDocument.objects.update_or_create(url_digest=_digest(url), defaults=kept)


def _cipher(url: str) -> Fernet:
    key = blake2b(url.encode(), digest_size=32, person=b"sites")
    return Fernet(urlsafe_b64encode(key.digest()))


def _digest(url: str) -> bytes:
    return blake2b(f"site\n{url}".encode(), digest_size=16).digest()
