"""One channel per connected listener: what the listener's connections are pushed, in order.

A channel keeps the newest pushes. Each connection takes the push that follows what it was last sent, at its
own pace; if that is no longer kept, it reads the log. So nothing is queued per connection, clients that
reconnect and slow readers are treated the same, and no connection is sent anything twice or misses anything.
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

# Runs a function that queries a store in a thread.
InThread = Callable[..., Awaitable[Any]]
# seconds after which a store that was unavailable is asked again
AGAIN: Final = 0.5


class Channel:
    """The channel of one listener. ``version``: how far the listener's stream is known to reach."""

    def __init__(self, user_id: UUID, stream: int, limits: Limits, in_thread: InThread) -> None:
        self.user_id, self.stream, self.version = user_id, stream, -1
        self.connections = 0
        self._limits, self._in_thread = limits, in_thread
        self._recent: deque[Push] = deque(maxlen=limits.recent)
        self._arrived = -1
        self._moved = asyncio.Event()
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Look up how far the stream reaches. What is recorded after that is passed to ``arrive``."""
        async with self._opening:
            if self.version < 0:
                newest: int = await self._in_thread(_newest, self.user_id)
                self.version = max(newest, self._arrived)

    def arrive(self, upto: int, push: Push | None) -> None:
        """Note that the stream is at version ``upto``; ``push`` holds what is new, or None if it could not be
        built."""
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
        """Return the push that follows a version; wait until there is one."""
        while self.version <= version:
            await self._moved.wait()
        kept = next((push for push in self._recent if push.after == version), None)
        if kept is not None:
            return kept
        newest = self.version
        upto = min(version + self._limits.page, newest)
        push: Push = await self._in_thread(pushes.read_page, self.user_id, version, upto)
        if push.entries is None:
            # some changes cannot be sent singly: one resync covers everything up to the newest version
            return Push(version, newest, cursor_of(newest, self.user_id), None)
        return push


def _newest(user_id: UUID) -> int:
    """Return the version of a listener's stream. Also reads the log's epoch, which every cursor contains and
    which is then cached."""
    log.epoch()
    return changes.extent(user_id, 0).head


class Channels:
    """The channels of all listeners who are connected to this process."""

    def __init__(self, limits: Limits, in_thread: InThread) -> None:
        self._limits, self._in_thread = limits, in_thread
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Channel] = {}
        self.following = Following(self._open.keys(), self._deliver)

    async def join(self, user_id: UUID) -> Channel:
        """Return the listener's channel; the caller must ``leave`` it in the end. Raises ``StreamErased``."""
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
        """Build a push once for all of a listener's connections. Runs in the thread that follows the log."""
        counters.add((("live_events",), len(rows)))
        if (channel := self._open.get(stream)) is None:
            return
        try:
            push = pushes.of_rows(channel.user_id, rows)
        except Exception as failure:
            # the connections read it from the log, once the log can be read
            logger.warning("Changes are read again: %s", type(failure).__name__)
            push = None
        self._loop.call_soon_threadsafe(channel.arrive, rows[-1].version, push)
