"""Chapters and transcripts that a feed links to: fetched on request, and stored in parsed form for a while.

They are stored under a digest of their address, so that the table reveals no address, not even a secret one.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from feeds import chapters, transcripts
from feeds.chapters import UnreadableDocument
from feeds.fetch import Request, fetch_one
from feeds.models import FetchedDocument
from projections.connect import run

Kind: TypeAlias = Literal["chapters", "transcript"]
LARGEST: Final = 2 * 1024 * 1024  # bytes of a document
KEPT, MOST_KEPT = timedelta(days=7), 256 * 1024 * 1024  # bytes of all documents together
# how long a failure is shown before its server is asked again
FAILED_FOR: Final = timedelta(minutes=5)
ACCEPT: Final = {
    "chapters": "application/json+chapters, application/json, application/xml;q=0.5, */*;q=0.1",
    "transcript": "application/json, text/vtt, application/x-subrip, text/html;q=0.5, */*;q=0.1",
}
READ: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "chapters": chapters.read,
    "transcript": transcripts.read,
}
# deletes the oldest first
PRUNE: Final = """
DELETE FROM "system"."fetched_documents" WHERE fetched_at < %s OR url_digest IN (
    SELECT url_digest FROM (
        SELECT url_digest, sum(length(content)) OVER (ORDER BY fetched_at DESC, url_digest) AS so_far
          FROM "system"."fetched_documents") AS kept
     WHERE so_far > %s)
"""


class Source(NamedTuple):
    """The address and the language that a feed gives for a document."""

    url: str
    language: str | None


def source_of(kind: Kind, extra: Mapping[str, Any]) -> Source | None:
    """Return the document that the feed names in ``Episode.extra``; of several transcripts the richest."""
    listed = [one for one in extra.get(kind, []) if isinstance(one, dict) and one.get("url")]
    named = transcripts.choose(listed) if kind == "transcript" else next(iter(listed), None)
    return None if named is None else Source(named["url"], named.get("language"))


def find(kind: Kind, url: str, now: datetime) -> FetchedDocument | None:
    """Return the stored document, or the failure to fetch it; None where it is to be fetched."""
    kept = FetchedDocument.objects.filter(url_digest=_digest(kind, url)).first()
    if kept is None or kept.fetched_at < now - (FAILED_FOR if kept.error else KEPT):
        return None
    return kept


def fetch(kind: Kind, url: str, now: datetime) -> None:
    """Fetch and store the document's content, or the error."""
    outcome = fetch_one(Request(url, accept=ACCEPT[kind], max_body=LARGEST))
    content, error = b"", "" if outcome.code == "ok" else outcome.code
    if not error:
        try:
            content = msgspec.json.encode(READ[kind](outcome.body))
        except UnreadableDocument:
            error = "unreadable"
    FetchedDocument.objects.update_or_create(
        url_digest=_digest(kind, url), defaults={"content": content, "error": error, "fetched_at": now}
    )
    run(PRUNE, [now - KEPT, MOST_KEPT], "system")


def _digest(kind: Kind, url: str) -> bytes:
    return blake2b(f"{kind}\n{url}".encode(), digest_size=16).digest()
