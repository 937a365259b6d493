"""Handle a server's answer for one feed: compare, read and store the document; prepare the new schedule."""

import logging
from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple

import django.db
import psycopg
from django.db import transaction
from msgspec.structs import replace

from eventstore import counters
from feeds import episodes, hubs, moves
from feeds.claims import Claimed
from feeds.decide import Answer, asked_by, at_least, interval_of
from feeds.documents import Document, UnreadableFeed
from feeds.episodes import Intake, Stored, StoredMeanwhile
from feeds.fetch import Outcome
from feeds.figures import DELAYS
from feeds.read import READER_VERSION, read

logger = logging.getLogger(__name__)

# codes that the client and the schedule name differently
CODES: Final = {"paused": "rate_limited", "gone": "not_found", "not_modified": "ok"}
LONGEST_VALIDATOR: Final = 2_000


class Refreshed(NamedTuple):
    """``answer``: the result for the schedule; ``document``: the document, if one was read and stored."""

    answer: Answer
    document: Document | None = None


def refresh(feed: Claimed, outcome: Outcome, now: datetime, *, forced: bool = False) -> Refreshed:
    """Store the document that a server sent, unless it is the one stored already.

    ``forced``: read it even then. Raises the store's error where it is unavailable, but nothing that a
    document could cause.
    """
    code = CODES.get(outcome.code, outcome.code)
    asked = asked_by(outcome.headers, now)
    if outcome.code == "not_modified":
        moves.observe(feed.id, outcome, None, None, now)
        newer = _validator(outcome, "last-modified")
        return Refreshed(Answer("ok", outcome.status, asked, last_modified=newer))
    if outcome.code != "ok":
        return Refreshed(Answer(code, outcome.status))
    body_hash = blake2b(outcome.body, digest_size=16).digest()
    is_same = feed.schedule.body_hash == body_hash and feed.reader_version == READER_VERSION
    if is_same and not forced:
        moves.observe(feed.id, outcome, None, None, now)
        return Refreshed(_with_validators(feed, outcome, Answer("ok", outcome.status, asked), body_hash))
    try:
        document, stored = _read_and_store(feed, outcome, now)
    except UnreadableFeed as failure:
        return Refreshed(Answer(failure.code, outcome.status))
    except StoredMeanwhile:  # another worker keeps storing it, so it is up to date
        return Refreshed(Answer("ok", outcome.status, asked))
    return Refreshed(_answer(feed, outcome, document, stored, body_hash, now), document)


def _read_and_store(feed: Claimed, outcome: Outcome, now: datetime) -> tuple[Document, Stored]:
    """Read and store a document, in up to three attempts. Raises ``UnreadableFeed``, ``StoredMeanwhile``."""
    for attempt in (1, 2, 3):
        intake = Intake(feed.id)
        document = _read(intake, outcome)
        try:
            stored = _store(feed, outcome, intake, document, now)
        except StoredMeanwhile:
            if attempt == 3:
                raise
            continue
        except (psycopg.DataError, django.db.DataError) as failure:
            # a value that the database rejects is the document's fault; the error's text could contain it
            logger.warning("Feed %s cannot be stored: %s", feed.id, type(failure).__name__)
            raise UnreadableFeed("unreadable", "it has a value that cannot be stored") from None
        _count(stored)
        return document, stored
    raise AssertionError


def _store(feed: Claimed, outcome: Outcome, intake: Intake, document: Document, now: datetime) -> Stored:
    """Store the document in one transaction; everything is in the system store."""
    known = feed.schedule
    with transaction.atomic(using="system"):
        moves.observe(feed.id, outcome, document.channel, intake.seen, now)
        return episodes.store(
            intake,
            document,
            now,
            episodes_before=known.episodes,
            was_shrunk=known.shrunk,
            reader=READER_VERSION,
        )


def _read(intake: Intake, outcome: Outcome) -> Document:
    """Read a document. Raises ``UnreadableFeed`` for any error, because one document must not stop others."""
    content_type = outcome.headers.get("content-type", "")
    try:
        document = read(outcome.body, content_type=content_type, url=outcome.url, begin=intake.begin)
        hubs.take_from_header(document.channel, outcome)
        return document
    except UnreadableFeed:
        raise
    except Exception:
        logger.exception("Feed %s cannot be read: this is a fault of the reader", intake.feed_id)
        raise UnreadableFeed("unreadable", "the reader failed") from None


def _answer(
    feed: Claimed, outcome: Outcome, document: Document, stored: Stored, body_hash: bytes, now: datetime
) -> Answer:
    answer = Answer(
        "ok",
        outcome.status,
        asked_by(outcome.headers, now),
        at_least(interval_of(stored.newest, now), document.channel.ttl_s),
        episodes=stored.episodes,
        shrunk=stored.shrunk,
    )
    if stored.shrunk:  # the next fetch has to return the whole document again
        return replace(answer, etag="", last_modified="", validators_url="", body_hash=b"")
    return _with_validators(feed, outcome, answer, body_hash)


def _with_validators(feed: Claimed, outcome: Outcome, answer: Answer, body_hash: bytes) -> Answer:
    return replace(
        answer,
        etag=_validator(outcome, "etag") or "",
        last_modified=_validator(outcome, "last-modified") or "",
        validators_url=feed.url,
        body_hash=body_hash,
    )


def _validator(outcome: Outcome, name: str) -> str | None:
    """Return a header's value unchanged; None where it is missing, or cannot be sent back."""
    value = outcome.headers.get(name, "")
    return value if 0 < len(value) <= LONGEST_VALIDATOR and "\0" not in value else None


def _count(stored: Stored) -> None:
    classes = [sum(delay > end for end in DELAYS) for delay in stored.delays]
    counters.add(
        (("feeds_episodes",), stored.written),
        (("feeds_delay_sum",), sum(stored.delays)),
        *((("feeds_delay", str(place)), 1) for place in classes),
    )
