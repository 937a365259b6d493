"""The event that all measurements use: a play, 337 bytes of JSON with its metadata."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from eventstore import codec, streams
from eventstore.columns import KeptEntry
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Origin
from eventstore.domain.plays import REGISTER, PlayRecorded

SIZE = 337
FEED = b64encode(b"https://example.org/rss").decode()
ORIGIN = Origin(app_id="org.example.player", device_id="phone-000001", device_name="Alice's phone")
START = datetime(2026, 11, 20, 8, tzinfo=UTC)


def item(number: int) -> str:
    return b64encode(b"%07d,https://cdn.example.org/a/%07d.mp3" % (number, number)).decode()


def play(user_id: UUID, number: int, event: type[PlayRecorded] = PlayRecorded) -> PlayRecorded:
    """Return a listener's play of the episode of that number."""
    return event(
        user_id=user_id,
        rss_source_feed=FEED,
        rss_source_item=item(number),
        position=600 + number % 300,
        played=False,
        played_at=START + timedelta(seconds=number),
    )


def entry(play: PlayRecorded) -> KeptEntry:
    """Return the entry that is kept of a play beside the log."""
    status = REGISTER.state_from(play)
    return streams.kept("plays", episode_key(status.feed, status.item), status)


def plays(user_id: UUID, count: int, first: int = 0) -> list[PlayRecorded]:
    return [play(user_id, first + number) for number in range(count)]


def size(event: PlayRecorded) -> int:
    """Return the bytes of JSON that are stored for an event."""
    return len(codec.encode(event)) + len(msgspec.json.encode(ORIGIN))
