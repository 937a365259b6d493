"""Chapters and transcripts that a feed names: fetched when somebody asks, and kept a while as what was read.

Under a digest of their address: of a secret feed's, too, nothing can be told by who reads the table.
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
KEPT, MOST_KEPT = timedelta(days=7), 256 * 1024 * 1024  # bytes of all
# a failure is told for so long before its server is asked again
FAILED_FOR: Final = timedelta(minutes=5)
ACCEPT: Final = {
    "chapters": "application/json+chapters, application/json, application/xml;q=0.5, */*;q=0.1",
    "transcript": "application/json, text/vtt, application/x-subrip, text/html;q=0.5, */*;q=0.1",
}
READ: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "chapters": chapters.read,
    "transcript": transcripts.read,
}
# the oldest go first
PRUNE: Final = """
DELETE FROM "system"."fetched_documents" WHERE fetched_at < %s OR url_digest IN (
    SELECT url_digest FROM (
        SELECT url_digest, sum(length(content)) OVER (ORDER BY fetched_at DESC, url_digest) AS so_far
          FROM "system"."fetched_documents") AS kept
     WHERE so_far > %s)
"""


class Source(NamedTuple):
    """Where a feed says that the document is."""

    url: str
    language: str | None


def source_of(kind: Kind, extra: Mapping[str, Any]) -> Source | None:
    """What the feed names in ``Episode.extra``; of several transcripts the one that tells most."""
    listed = [one for one in extra.get(kind, []) if isinstance(one, dict) and one.get("url")]
    named = transcripts.choose(listed) if kind == "transcript" else next(iter(listed), None)
    return None if named is None else Source(named["url"], named.get("language"))


def find(kind: Kind, url: str, now: datetime) -> FetchedDocument | None:
    """What is kept of the document, or of the failure to fetch it; None where it is to be fetched."""
    kept = FetchedDocument.objects.filter(url_digest=_digest(kind, url)).first()
    if kept is None or kept.fetched_at < now - (FAILED_FOR if kept.error else KEPT):
        return None
    return kept


def fetch(kind: Kind, url: str, now: datetime) -> None:
    """Fetch the document and keep what it says, or why that is not known."""
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
