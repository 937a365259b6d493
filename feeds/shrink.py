"""Makes thumbnails of an image file; a program run by ``feeds.images`` that imports no module of the project.

It reads the image from standard input, takes sizes as arguments, and writes the result to standard output.
"""

import os
import resource
import sys
from io import BytesIO

import msgspec
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MOST_PIXELS = 40_000_000
QUALITY = 82
# bytes: 40 megapixels with transparency, twice, and the decoder; seconds of CPU time
MEMORY, PROCESSOR_S = 1024 * 1024 * 1024, 10


def shrink(data: bytes, sizes: list[int]) -> dict[int, bytes]:
    """Return WebP files of an image, by size. Raises whatever a decoder raises for damaged files."""
    picture: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"has more than {MOST_PIXELS} pixels")
    if picture.mode not in ("RGB", "RGBA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    made = {}
    for size in sorted(sizes, reverse=True):
        # a large JPEG is decoded at an eighth to a half of its size
        picture.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
        upright = ImageOps.exif_transpose(picture)
        upright.info = {}
        file = BytesIO()
        upright.save(file, "WEBP", quality=QUALITY)
        made[size] = file.getvalue()
    return made


def main() -> None:
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    # images that are too large are refused above, so Pillow's own warning is not needed
    Image.MAX_IMAGE_PIXELS = None
    try:
        made = shrink(sys.stdin.buffer.read(), [int(size) for size in sys.argv[1:]])
    except Exception as error:  # decoders may raise any exception for damaged files
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.buffer.write(msgspec.msgpack.encode(made))


if __name__ == "__main__":
    main()
