"""``python -m benchmarks.origin [PEM]``: a server of generated feeds, in a process of its own.

It prints its port. Every address of 127.0.0.0/8 is a separate host. ``/same/N`` is a feed of 100 episodes
that never changes, with an ETag; ``/new/N`` has one more episode at each request; ``/hang/N`` never answers;
``/drip/N`` sends one byte per second. Given a file with a key and its certificate, it uses TLS and closes
each connection after its answer.
"""

import asyncio
import re
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path

EPISODES = 100
BEGAN = datetime(2024, 1, 1, 6, tzinfo=UTC)
TEXT = "<p>" + "We talk about what happened, with people who were there. " * 30 + "</p>"


@contextmanager
def served(*pem: str) -> Iterator[int]:
    """Run an origin in another process for the duration of the block; yields its port."""
    command = [sys.executable, "-m", "benchmarks.origin", *pem]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.kill()


@cache
def item(number: int) -> str:
    date = format_datetime(BEGAN + timedelta(days=number))
    return (
        f"<item><title>Episode {number}: people and places</title><guid>https://show.example/{number}</guid>"
        f"<pubDate>{date}</pubDate><description><![CDATA[{TEXT}]]></description>"
        f'<enclosure url="https://audio.example/{number}.mp3" type="audio/mpeg" length="31457280"/>'
        f"<itunes:duration>00:45:12</itunes:duration><itunes:episode>{number}</itunes:episode></item>"
    )


@cache
def document(first: int, last: int) -> bytes:
    """Return a feed of these episodes, the newest first."""
    items = "".join(item(number) for number in range(last, first - 1, -1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd">'
        "<channel><title>The Show</title><link>https://show.example/</link><language>en</language>"
        f"<description>About everything.</description>{items}</channel></rss>"
    ).encode()


class Answering(asyncio.Protocol):
    """One connection. Each request is expected in one packet, as clients on loopback send it."""

    asked: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        found = re.match(rb"GET (/(\w+)/\S*)", data)
        if found is None:
            self.transport.close()
            return
        path, kind = found[1].decode(), found[2]
        if kind == b"hang":
            return
        if kind == b"drip":
            self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self.drip()
            return
        if kind == b"same" and b"f-None-Match:" in data:
            closes = self.transport.get_extra_info("sslcontext") is not None
            last = b"Connection: close\r\n" if closes else b""
            self.transport.write(b'HTTP/1.1 304 Not Modified\r\nETag: "same"\r\n%s\r\n' % last)
            if closes:
                self.transport.close()
            return
        self.asked[path] += 1
        more = self.asked[path] if kind == b"new" else 0
        body = document(1, EPISODES + more)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f'{head}ETag: "{kind.decode()}"\r\n\r\n'.encode() + body)

    def drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"<")
            asyncio.get_running_loop().call_later(1.0, self.drip)


async def main() -> None:
    loop, context = asyncio.get_running_loop(), None
    if sys.argv[1:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
    server = await loop.create_server(Answering, "0.0.0.0", 0, backlog=2_000, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
