"""Pictures as publishers provide them, and as attackers craft them."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(
    form: str = "PNG", size: tuple[int, int] = (700, 700), colour: Any = RED, mode: str = "RGB", **how: Any
) -> bytes:
    return encoded(Image.new(mode, size, colour), form, **how)


def halves(size: tuple[int, int] = (800, 400)) -> Image.Image:
    """A picture that is red on the left and blue on the right."""
    made = Image.new("RGB", size, RED)
    made.paste(BLUE, (size[0] // 2, 0, *size))
    return made


def encoded(image: Image.Image, form: str, **how: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def animation() -> bytes:
    """A GIF whose first frame is red and whose second is blue."""
    first, second = (Image.new("RGB", (320, 320), colour) for colour in (RED, BLUE))
    return encoded(first, "GIF", save_all=True, append_images=[second], duration=100, loop=0)


def turned() -> bytes:
    """A JPEG whose EXIF data rotate it clockwise and contain private details."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "taken at home"
    return encoded(halves(), "JPEG", quality=95, exif=exif, comment=b"a comment")


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of many pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def is_about(found: Any, wanted: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 30 for one, other in zip(found[:3], wanted, strict=True))
