"""Thumbnails of publishers' pictures."""

import gzip
import time

import pytest

from feeds.images import NoImage, thumbnails
from feeds.shrink import shrink
from tests.feeds.pictures import (
    BLUE,
    RED,
    animation,
    bomb,
    encoded,
    halves,
    is_about,
    opened,
    picture,
    turned,
)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'


def test_every_size_is_a_webp_within_its_bounds() -> None:
    made = thumbnails(encoded(halves((2_000, 1_000)), "JPEG"), (96, 300, 600))
    assert {size: (opened(data).format, opened(data).size) for size, data in made.items()} == {
        96: ("WEBP", (96, 48)),
        300: ("WEBP", (300, 150)),
        600: ("WEBP", (600, 300)),
    }
    assert sum(map(len, made.values())) < 20_000


def test_four_formats_are_read_in_whatever_mode_and_small_ones_stay_small() -> None:
    files = {
        "JPEG": picture("JPEG", (50, 50)),
        "CMYK": picture("JPEG", (50, 50), (0, 220, 220, 40), "CMYK"),
        "PNG": picture("PNG", (50, 50)),
        "palette": encoded(halves((50, 50)).quantize(8), "PNG"),
        "grey": picture("PNG", (50, 50), 120, "L"),
        "WebP": picture("WEBP", (50, 50)),
        "GIF": picture("GIF", (50, 50)),
    }
    for name, data in files.items():
        assert opened(shrink(data, [300])[300]).size == (50, 50), name
    clear = opened(shrink(picture("PNG", (50, 50), (*RED, 0), "RGBA"), [96])[96])
    assert clear.mode == "RGBA"
    assert clear.getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_of_an_animation_the_first_picture_is_shown() -> None:
    made = opened(shrink(animation(), [96])[96])
    assert getattr(made, "n_frames", 1) == 1
    assert is_about(made.getpixel((40, 40)), RED)


def test_it_is_turned_as_its_data_say_and_they_are_dropped() -> None:
    data = thumbnails(turned(), (300,))[300]
    made = opened(data)
    assert made.size == (150, 300)
    assert is_about(made.getpixel((75, 20)), RED)
    assert is_about(made.getpixel((75, 280)), BLUE)
    assert not made.getexif()
    assert made.info.keys() & {"exif", "icc_profile", "xmp", "comment"} == set()
    assert b"home" not in data


def test_what_is_no_picture_or_too_much_of_one_is_refused() -> None:
    whole = encoded(halves(), "PNG")
    jpeg = encoded(halves(), "JPEG")
    bad = {
        "nothing": b"",
        "text": b"<html>404</html>",
        "SVG": SVG,
        "packed SVG": gzip.compress(SVG),
        "truncated PNG": whole[: len(whole) // 2],
        "truncated JPEG": jpeg[: len(jpeg) // 2],
        "another format": picture("BMP", (10, 10)),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "41 megapixels": bomb(6_500, 6_400),
        "bomb": bomb(),
        "wide": bomb(2**31 - 1, 2**31 - 1),
    }
    began = time.monotonic()
    for name, data in bad.items():
        assert _is_refused(data), name
    assert time.monotonic() - began < 20


def _is_refused(data: bytes) -> bool:
    try:
        thumbnails(data, (96,))
    except NoImage:
        return True
    return False


def test_decoding_ends_though_the_picture_would_have_it_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progressive JPEG of thousands of scans, each of which visits every pixel for a few bytes."""
    data = encoded(halves((5_000, 5_000)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    monkeypatch.setattr("feeds.images.WAIT_S", 1.0)
    with pytest.raises(NoImage, match="too long"):
        thumbnails(data[:start] + data[start:-2] * 20_000 + b"\xff\xd9", (96,))
