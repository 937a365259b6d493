"""``python -m tests.icons`` draws the icons of the installed app, static/icons/, from static/balados.svg.

It uses Chromium, which draws SVG as browsers do. It is only needed after a change of the picture; the results
are committed.
"""

import io
import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "static" / "balados.svg"
FOLDER: Final = ROOT / "static" / "icons"
GROUND: Final = "#14594b"


class Icon(NamedTuple):
    """``filled`` extends the background to the edges, for systems that cut the icon into a shape of their
    own. ``part`` is the share of the side that the picture takes."""

    size: int
    filled: bool = False
    part: float = 1.0


ICONS: Final = {
    "icon-192": Icon(192),
    "icon-512": Icon(512),
    # a circle with a diameter of four fifths of the side is never cut off
    "maskable-192": Icon(192, filled=True, part=0.8),
    "maskable-512": Icon(512, filled=True, part=0.8),
    "apple-touch-icon": Icon(180, filled=True, part=0.9),
}


def page_of(icon: Icon) -> str:
    """Return the icon as an HTML page of its size."""
    ground = GROUND if icon.filled else "transparent"
    side = round(icon.size * icon.part)
    style = f"margin:0;display:grid;place-items:center;height:100vh;background:{ground}"
    picture = SOURCE.read_text().replace("<svg ", f'<svg width="{side}" height="{side}" ', 1)
    return f'<body style="{style}">{picture}</body>'


def paint() -> None:
    """Write all icons, in 64 colours, which takes a third of the bytes."""
    FOLDER.mkdir(exist_ok=True)
    chromium = shutil.which(os.environ.get("CHROMIUM") or "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, icon in ICONS.items():
            page = browser.new_page(viewport={"width": icon.size, "height": icon.size})
            page.set_content(page_of(icon))
            picture = Image.open(io.BytesIO(page.screenshot(omit_background=True)))
            picture.quantize(64, method=Image.Quantize.FASTOCTREE).save(FOLDER / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    paint()
