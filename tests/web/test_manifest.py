"""The manifest with which the pages can be installed as an app on a phone."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from accounts.models import User
from tests.web.people import Visitor, text_of

STATIC = Path(__file__).resolve().parents[2] / "static"
PATH = "/manifest.webmanifest"


def test_the_manifest_names_icons_that_are_there_in_the_language_of_the_phone(stores: None) -> None:
    answer = Visitor().get(PATH, headers={"Accept-Language": "fr"})
    assert answer["Content-Type"] == "application/manifest+json"
    manifest = json.loads(answer.content)
    assert (manifest["lang"], manifest["shortcuts"][0]["name"]) == ("fr", "Podcasts")
    assert manifest["shortcuts"][1]["name"] == "Découvrir"
    assert json.loads(Visitor().get(PATH).content)["shortcuts"][1]["name"] == "Discover"
    for icon in manifest["icons"]:
        file = STATIC / icon["src"].removeprefix("/static/")
        if icon["type"] == "image/png":
            with Image.open(file) as picture:
                assert icon["sizes"] == f"{picture.width}x{picture.height}"
                edge: Any = picture.convert("RGBA").getpixel((0, 0))
            assert (edge[3] == 255) == (icon["purpose"] == "maskable"), file
        assert file.stat().st_size < 8_000
    with Image.open(STATIC / "icons" / "apple-touch-icon.png") as picture:
        assert picture.size == (180, 180)


@pytest.mark.parametrize("field", ["url", "text"])
def test_its_shortcuts_and_what_is_shared_lead_to_pages(alice: User, field: str) -> None:
    visitor = Visitor(alice)
    manifest = json.loads(visitor.get(PATH).content)
    assert [visitor.get(one["url"]).status_code for one in manifest["shortcuts"]] == [200] * 4
    target = manifest["share_target"]
    assert target["method"] == "GET"
    page = text_of(visitor.get(target["action"], {target["params"][field]: "https://site.example/"}))
    assert 'value="https://site.example/"' in page
    assert f'<link rel="manifest" href="{PATH}">' in page
    assert "manifest-src 'self'" in visitor.get("/")["Content-Security-Policy"]
