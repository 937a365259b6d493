"""A channel for each listener who is connected: what his connections are pushed, in order.

A channel keeps the newest pushes. A connection takes the one that follows what it was sent last, at its own
pace; where that is not kept any more, it reads the log. So nothing is queued for a connection, one that was
away and one that reads slowly go the same way, and neither can be sent anything twice or miss it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

from api.v1.sync import cursor_of
from eventstore import changes, counters, log
from eventstore.log import RecordedEvent
from live import pushes
from live.following import Following
from live.limits import Limits
from live.pushes import Push

logger = logging.getLogger(__name__)

# Runs a function that asks a store in a thread.
InThread = Callable[..., Awaitable[Any]]
# seconds after which a store that was away is asked again
AGAIN: Final = 0.5


class Channel:
    """Of one listener. ``version``: how far his stream is known to be."""

    def __init__(self, user_id: UUID, stream: int, limits: Limits, in_thread: InThread) -> None:
        self.user_id, self.stream, self.version = user_id, stream, -1
        self.connections = 0
        self._limits, self._in_thread = limits, in_thread
        self._recent: deque[Push] = deque(maxlen=limits.recent)
        self._arrived = -1
        self._moved = asyncio.Event()
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Ask how far the stream is. What is recorded after that arrives."""
        async with self._opening:
            if self.version < 0:
                newest: int = await self._in_thread(_newest, self.user_id)
                self.version = max(newest, self._arrived)

    def arrive(self, upto: int, push: Push | None) -> None:
        """The stream is at version ``upto``; ``push`` tells what is new, if that could be told."""
        self._arrived = max(self._arrived, upto)
        if not 0 <= self.version < upto:
            return
        if push is not None and push.after == self.version:
            self._recent.append(push)
            while sum(each.size for each in self._recent) > self._limits.recent_bytes:
                self._recent.popleft()
        self.version = upto
        self._moved.set()
        self._moved = asyncio.Event()

    async def next_after(self, version: int) -> Push:
        """What follows a version; waits until there is something."""
        while self.version <= version:
            await self._moved.wait()
        kept = next((push for push in self._recent if push.after == version), None)
        if kept is not None:
            return kept
        newest = self.version
        upto = min(version + self._limits.page, newest)
        push: Push = await self._in_thread(pushes.read_page, self.user_id, version, upto)
        if push.entries is None:
            # it lacks something: one word for all of it
            return Push(version, newest, cursor_of(newest, self.user_id), None)
        return push


def _newest(user_id: UUID) -> int:
    """The version of a listener's stream. Asks for what every cursor holds as well, which is then known."""
    log.epoch()
    return changes.extent(user_id, 0).head


class Channels:
    """Of all listeners who are connected to this process."""

    def __init__(self, limits: Limits, in_thread: InThread) -> None:
        self._limits, self._in_thread = limits, in_thread
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Channel] = {}
        self.following = Following(self._open.keys(), self._deliver)

    async def join(self, user_id: UUID) -> Channel:
        """The listener's channel; ``leave`` it in the end. Raises ``StreamErased``."""
        stream: int = await self._in_thread(log.stream_of, user_id)
        channel = self._open.get(stream)
        if channel is None:
            channel = Channel(user_id, stream, self._limits, self._in_thread)
            with self.following.adding:
                self._open[stream] = channel
        channel.connections += 1
        try:
            await self._in_thread(self.following.wake)
            await channel.open()
        except BaseException:
            self.leave(channel)
            raise
        return channel

    def leave(self, channel: Channel) -> None:
        channel.connections -= 1
        if channel.connections == 0:
            self._open.pop(channel.stream, None)

    def _deliver(self, stream: int, rows: list[RecordedEvent]) -> None:
        """In the thread that follows: what a listener's connections are told is made once for all of them."""
        counters.add((("live_events",), len(rows)))
        if (channel := self._open.get(stream)) is None:
            return
        try:
            push = pushes.of_rows(channel.user_id, rows)
        except Exception as failure:
            # they read it from the log, once that answers
            logger.warning("Changes are read again: %s", type(failure).__name__)
            push = None
        self._loop.call_soon_threadsafe(channel.arrive, rows[-1].version, push)
