"""Invented podcasts, served from this machine with covers that are drawn here, so that the pictures show
nobody else's work. Needs Pillow."""

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import cos, pi, sin
from typing import NamedTuple

from PIL import Image, ImageDraw

SIDE = 600  # pixels of a cover's side
# the audio of the episodes is silence, with one byte per sample
SAMPLES_PER_SECOND = 8_000
HEADER_BYTES = 44


class Show(NamedTuple):
    """``days`` is the time from one episode to the next. ``colours`` are background, shape and highlight;
    ``shape`` names what is drawn."""

    name: str
    title: str
    author: str
    about: str
    days: float
    minutes: int
    colours: tuple[str, str, str]
    shape: str
    episodes: tuple[str, ...]


SHOWS = (
    Show(
        "night-trains",
        "Night Trains",
        "Ines Kaplan",
        "One sleeper, one night, one conversation that would not happen by day.",
        7,
        48,
        ("#16213e", "#e94560", "#f9d976"),
        "rails",
        ("Vienna, platform nine", "The last dining car", "A border at four", "Snow on the line"),
    ),
    Show(
        "the-long-table",
        "The Long Table",
        "Omar & June",
        "Two cooks, one guest, and the dish that made them.",
        7,
        62,
        ("#7d2e1f", "#f2a65a", "#fff1d6"),
        "bowls",
        ("Salt, and then more salt", "Eleven kinds of rice", "Grandmother’s knife", "What we burned"),
    ),
    Show(
        "small-hours",
        "Small Hours",
        "Radio Lumen",
        "Quiet stories for those who are still awake.",
        3.5,
        24,
        ("#2b2d42", "#8d99ae", "#edf2f4"),
        "moon",
        ("The lighthouse keeper’s list", "Rain on a tin roof", "Counting boats", "A letter to nobody"),
    ),
    Show(
        "slow-rivers",
        "Slow Rivers",
        "Maya Lindqvist",
        "Down a river in ten episodes, at the speed of the water.",
        5,
        41,
        ("#0b525b", "#65c3ba", "#e8f7f2"),
        "waves",
        ("Where it begins", "The mill that moved", "Eels at midnight", "Delta"),
    ),
    Show(
        "seven-minutes",
        "News in Seven Minutes",
        "The Morning Desk",
        "What happened, what it means, and nothing else.",
        1,
        7,
        ("#f4f1de", "#3d405b", "#e07a5f"),
        "seven",
        ("Saturday", "Friday", "Thursday", "Wednesday"),
    ),
    Show(
        "lanterns",
        "Lanterns",
        "Studio Kite",
        "A town, a fog, and eleven people with a light.",
        6,
        33,
        ("#3a0ca3", "#f72585", "#ffd6a5"),
        "lanterns",
        ("Fog", "The second bell", "Somebody on the stairs", "Harbour"),
    ),
    Show(
        "bread-and-salt",
        "Bread and Salt",
        "Ada Moreau",
        "How the things in your kitchen came to be there.",
        4,
        31,
        ("#606c38", "#dda15e", "#fefae0"),
        "loaf",
        ("The spoon", "Yeast is a pet", "Who owns pepper?", "Ice, delivered"),
    ),
    Show(
        "far-signals",
        "Far Signals",
        "Observatory Hill",
        "Astronomers explain what they were looking for, and what they found.",
        6,
        54,
        ("#10002b", "#7b2cbf", "#e0aaff"),
        "rings",
        ("A star that blinks", "Listening for dust", "The quiet telescope", "How far is far?"),
    ),
)


def cover(show: Show) -> bytes:
    """Return the cover of a show as PNG."""
    ground, shape, light = show.colours
    # drawn at twice the size, then halved, which smooths the edges
    image = Image.new("RGB", (2 * SIDE, 2 * SIDE), ground)
    SHAPES[show.shape](ImageDraw.Draw(image), shape, light)
    file = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def _rails(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    for number in range(7):
        top = 520 + number * number * 18
        draw.rectangle(
            (600 - 60 - number * 70, top, 600 + 60 + number * 70, top + 14 + number * 5), fill=shape
        )
    draw.polygon(((560, 420), (590, 420), (200, 1200), (60, 1200)), fill=light)
    draw.polygon(((610, 420), (640, 420), (1140, 1200), (1000, 1200)), fill=light)
    draw.ellipse((500, 180, 700, 380), fill=light)


def _bowls(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    for x, y, size in ((360, 420, 250), (840, 420, 190), (600, 860, 280)):
        draw.ellipse((x - size, y - size, x + size, y + size), fill=shape)
        draw.ellipse((x - size * 0.72, y - size * 0.72, x + size * 0.72, y + size * 0.72), fill=light)


def _moon(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    draw.ellipse((330, 230, 870, 770), fill=light)
    draw.ellipse((480, 190, 960, 670), fill="#2b2d42")
    for number in range(6):
        draw.rectangle((80 + number * 190, 980 - (number % 3) * 70, 200 + number * 190, 1200), fill=shape)


def _waves(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    for row in range(5):
        points = [(x, 380 + row * 180 + 46 * sin(x / 105 + row * 1.1)) for x in range(0, 1201, 12)]
        draw.line(points, fill=light if row % 2 else shape, width=64)


def _seven(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    draw.polygon(
        ((260, 220), (940, 220), (940, 360), (620, 1000), (440, 1000), (740, 380), (260, 380)), fill=shape
    )
    draw.ellipse((760, 800, 960, 1000), fill=light)


def _lanterns(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    for x, y, size in ((320, 480, 130), (620, 320, 100), (860, 640, 160), (480, 860, 110)):
        draw.ellipse((x - size * 1.7, y - size * 1.7, x + size * 1.7, y + size * 1.7), fill=shape)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=light)


def _loaf(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    draw.rounded_rectangle((200, 420, 1000, 880), 220, fill=shape)
    for number in range(3):
        draw.line((390 + number * 190, 780, 490 + number * 190, 520), fill=light, width=46)


def _rings(draw: ImageDraw.ImageDraw, shape: str, light: str) -> None:
    for radius in range(480, 100, -120):
        draw.ellipse((600 - radius, 600 - radius, 600 + radius, 600 + radius), outline=shape, width=44)
    draw.ellipse((530, 530, 670, 670), fill=light)
    for number in range(5):
        angle = number * 2 * pi / 5
        x, y = 600 + 420 * cos(angle), 600 + 420 * sin(angle)
        draw.ellipse((x - 38, y - 38, x + 38, y + 38), fill=light)


SHAPES = {
    "rails": _rails,
    "bowls": _bowls,
    "moon": _moon,
    "waves": _waves,
    "seven": _seven,
    "lanterns": _lanterns,
    "loaf": _loaf,
    "rings": _rings,
}


def document(show: Show, base: str, now: datetime) -> str:
    """Return the feed of a show, with addresses below ``base``. The newest episode came out today."""
    items = "".join(
        f"<item><title>{escape(title)}</title><guid>{show.name}-{number}</guid>"
        f'<enclosure url="{base}/{show.name}/{number}.wav" type="audio/wav" length="{_size(show)}"/>'
        f"<pubDate>{format_datetime(now - timedelta(days=show.days * number, hours=3))}</pubDate>"
        f"<description>{escape(show.about)}</description>"
        f"<itunes:duration>{show.minutes * 60}</itunes:duration></item>"
        for number, title in enumerate(show.episodes)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd">'
        f"<channel><title>{escape(show.title)}</title><itunes:author>{escape(show.author)}</itunes:author>"
        f"<link>https://example.org/</link><description>{escape(show.about)}</description>"
        f'<itunes:image href="{base}/{show.name}.png"/>{items}</channel></rss>'
    )


def _size(show: Show) -> int:
    return HEADER_BYTES + show.minutes * 60 * SAMPLES_PER_SECOND


def wav_header(size: int) -> bytes:
    """Return the header of a WAV file of ``size`` bytes: one channel of 8 bits."""
    form = (1, 1, SAMPLES_PER_SECOND, SAMPLES_PER_SECOND, 1, 8)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size - 8, b"WAVE", b"fmt ", 16, *form, b"data", size - HEADER_BYTES
    )


class _Publisher(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name, _, rest = self.path.strip("/").partition("/")
        show = next((show for show in SHOWS if show.name == name.partition(".")[0]), None)
        if show is None:
            return self._send(404, "text/plain", b"")
        if rest:
            return self._send_audio(_size(show))
        if name.endswith(".png"):
            return self._send(200, "image/png", cover(show))
        host = f"http://{self.headers['Host']}"
        return self._send(200, "application/rss+xml", document(show, host, datetime.now(UTC)).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_audio(self, size: int) -> None:
        """Send silence from where the player asks; players close the connection once they have enough."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0] or 0)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        body = (wav_header(size)[start:] if start < HEADER_BYTES else b"") + b"\x80" * (
            size - max(start, HEADER_BYTES)
        )
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: players close the connection once they have heard enough."""


@contextmanager
def served(port: int) -> Iterator[list[str]]:
    """Serve all shows at 127.0.0.1; yields the URLs of their feeds, in the order of ``SHOWS``."""
    with _Server(("127.0.0.1", port), _Publisher) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield [f"http://127.0.0.1:{port}/{show.name}.xml" for show in SHOWS]
        finally:
            server.shutdown()
