"""The only client for foreign servers: every fetch of the program goes through ``fetch``.

It uses libcurl's multi interface: hundreds of requests in one thread, with connections per host kept open
during a run. What a server sends is limited in time, size and addresses (``feeds.addresses``,
``feeds.outcomes.Limits``).
"""

import selectors
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pycurl
from django.conf import settings

from feeds import addresses
from feeds.addresses import Rules
from feeds.lookups import NEW_S, Names
from feeds.outcomes import LIMITS, MAX_BODY, Config, Hop, Limits, Outcome, Request
from feeds.room import room
from feeds.transfer import Transfer, new_handle

__all__ = ["MAX_BODY", "Hop", "Limits", "Outcome", "Request", "config", "fetch", "fetch_one"]

# how soon an iterable that had nothing is asked again, and how soon a transfer that found no memory retries
ASK_AGAIN_S = 0.05


def fetch(
    requests: Iterable[Request | None], *, concurrency: int = 200, limits: Limits = LIMITS
) -> Iterator[Outcome]:
    """Fetch all requests, many at once, and yield each outcome as it ends; no fault of a server raises.

    Requests are taken from the iterable only when there is room, so it may be endless and may depend on
    earlier outcomes. A None in it means that there is nothing to start right now: it is asked again after the
    next outcome, and within 50 ms at the latest, even with nothing in flight. The caller must enforce limits
    per host; reading the outcomes slowly slows the fetching.
    """
    source = iter(requests)
    ended = False
    with closing(_Loop(config(limits), concurrency)) as loop:
        while not ended or loop.running:
            is_idle = False
            while not ended and not is_idle and loop.has_room():
                try:
                    request = next(source)
                except StopIteration:
                    ended = True
                    continue
                is_idle = request is None
                if request is not None:
                    loop.start(request)
            wait = ASK_AGAIN_S if is_idle else 1.0
            for transfer in loop.turn(wait if is_idle or loop.running else 0.0):
                assert transfer.outcome is not None
                yield transfer.outcome
                loop.forget(transfer)


def fetch_one(request: Request, *, limits: Limits = LIMITS) -> Outcome:
    """Return the outcome of one request."""
    return next(fetch([request], limits=limits))


def config(limits: Limits = LIMITS) -> Config:
    """Return the client's configuration from the settings."""
    own = urlsplit(settings.PUBLIC_URL)
    ports = {80, 443, own.port or 443}
    rules = Rules(
        ports=frozenset(settings.FEED_PORTS),
        networks=tuple(settings.FEED_ALLOW_NETWORKS),
        allow_downgrade=settings.FEED_ALLOW_DOWNGRADE,
        own=frozenset((str(own.hostname), port) for port in ports),
    )
    return Config(rules, f"Balados/{settings.VERSION}", settings.PUBLIC_URL, limits)


class _Loop:
    """All running transfers: waiting for a host's addresses, in libcurl, or waiting for memory."""

    def __init__(self, config: Config, concurrency: int) -> None:
        self._config = config
        self._concurrency = concurrency
        self.running: set[Transfer] = set()
        self._finished: list[Transfer] = []
        self._packed: deque[Transfer] = deque()
        self._handles: dict[Any, Transfer] = {}
        self._spare: list[Any] = []
        self._names: Names[Transfer] = Names()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._names.bell, selectors.EVENT_READ)
        self._watched: set[int] = set()
        self._timer: float | None = None
        self._multi = pycurl.CurlMulti()
        # never hold more handles than may run: libcurl's timeouts also run for transfers that it queues
        self._multi.setopt(pycurl.M_MAXCONNECTS, concurrency)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def has_room(self) -> bool:
        """Whether another transfer may start; if none is running, one always may."""
        return len(self.running) < self._concurrency and not (self.running and room.is_full)

    def start(self, request: Request) -> None:
        transfer = Transfer(request, self._config, time.monotonic())
        self.running.add(transfer)
        self._go_on(transfer)

    def forget(self, transfer: Transfer) -> None:
        """Release a transfer whose outcome was taken; its body belongs to the caller now."""
        self.running.discard(transfer)
        room.give_back(transfer.number)
        transfer.outcome = None  # the curl handle still refers to the transfer

    def turn(self, wait: float) -> list[Transfer]:
        """Run one step, waiting for events ``wait`` seconds at most; returns the finished transfers."""
        for key, events in self._selector.select(0 if self._finished else self._wait(wait)):
            if key.fileobj is self._names.bell:
                self._take_names()
            else:
                self._multi.socket_action(key.fd, _as_curl(events))
        now = time.monotonic()
        if self._timer is not None and self._timer <= now:
            self._timer = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._give_up_names(now)
        self._collect()
        self._resume()
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        for handle in self._handles:
            self._multi.remove_handle(handle)
        for handle in (*self._handles, *self._spare):
            handle.close()
        for transfer in self.running:
            room.give_back(transfer.number)
        self._multi.close()
        self._selector.close()
        self._names.close()
        # libcurl refers to this loop: what is left here would stay until the garbage collector runs
        self.running.clear()
        self._handles.clear()
        self._spare.clear()

    def _wait(self, wait: float) -> float:
        now = time.monotonic()
        times = [transfer.lookup_until - now for _, transfer in self._names.waiting()]
        if self._timer is not None:
            times.append(self._timer - now)
        if not self._names.begin(now):
            times.append(NEW_S)
        if self._packed or any(transfer.is_paused for transfer in self._handles.values()):
            times.append(ASK_AGAIN_S)
        return max(0.0, min([wait, *times]))

    def _go_on(self, transfer: Transfer) -> None:
        """Start the next step of a transfer: its end, decompression, or the host of its next hop."""
        if transfer.outcome is not None:
            self._finished.append(transfer)
        elif transfer.is_packed:
            self._packed.append(transfer)
        elif (literal := addresses.literal(transfer.target.host)) is not None:
            self._connect(transfer, (literal,))
        elif (known := self._names.known(transfer.target.host, now := time.monotonic())) is not None:
            self._connect(transfer, known)
        else:
            self._names.ask(transfer.target.host, transfer, now)

    def _connect(self, transfer: Transfer, found: tuple[str, ...]) -> None:
        now = time.monotonic()
        if not found:
            transfer.end("unreachable", "no such host", now)
        elif not transfer.may_connect(found):
            transfer.end("refused", "an address that is not of the public internet", now)
        if transfer.outcome is not None:
            self._finished.append(transfer)
            return
        handle = self._spare.pop() if self._spare else new_handle()
        transfer.prepare(handle, found, now)
        self._handles[handle] = transfer
        self._multi.add_handle(handle)

    def _collect(self) -> None:
        """Take finished transfers from libcurl, and start their next steps."""
        waiting = True
        while waiting:
            waiting, good, bad = self._multi.info_read()
            for handle, errno in [*((each, 0) for each in good), *((each, code) for each, code, _ in bad)]:
                transfer = self._handles.pop(handle)
                self._multi.remove_handle(handle)
                transfer.complete(handle, errno, time.monotonic())
                self._spare.append(handle)
                self._go_on(transfer)

    def _resume(self) -> None:
        """Resume transfers that are waiting for memory, as far as there is some now."""
        for _ in range(len(self._packed)):
            transfer = self._packed.popleft()
            (self._finished if transfer.unpack(time.monotonic()) else self._packed).append(transfer)
        for handle, transfer in list(self._handles.items()):
            if transfer.is_paused:
                transfer.is_paused = False
                handle.pause(pycurl.PAUSE_CONT)

    def _take_names(self) -> None:
        for transfer, found in self._names.answered(time.monotonic()):
            self._connect(transfer, found)

    def _give_up_names(self, now: float) -> None:
        for host, transfer in self._names.waiting():
            if transfer.lookup_until <= now:
                self._names.give_up(host, transfer)
                transfer.end("timeout", "its host was not found in time", now)
                self._finished.append(transfer)

    def _watch(self, event: int, fd: int, multi: Any, data: Any) -> None:
        """Called by libcurl to have a socket watched."""
        if event == pycurl.POLL_REMOVE:
            if fd in self._watched:
                self._watched.remove(fd)
                self._selector.unregister(fd)
        elif fd in self._watched:
            self._selector.modify(fd, _as_selector(event))
        else:
            self._watched.add(fd)
            self._selector.register(fd, _as_selector(event))

    def _set_timer(self, milliseconds: int) -> None:
        self._timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _as_curl(events: int) -> int:
    readable = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
    writable = pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
    return int(readable | writable)


def _as_selector(event: int) -> int:
    readable = selectors.EVENT_READ if event & pycurl.POLL_IN else 0
    writable = selectors.EVENT_WRITE if event & pycurl.POLL_OUT else 0
    return readable | writable
