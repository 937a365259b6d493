"""What the OpenAPI document and docs/apps.md tell the author of an app."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.scopes import SCOPES
from api.glossary import DESCRIPTIONS, EXAMPLES

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = (ROOT / "docs" / "apps.md").read_text()
# how the code raises an error for the author of an app
RAISED = re.compile(
    r"(?:DomainError\(\s*|ApiError\(\s*\d+, |error_response\(\d+, |_later\(|Refused\(\d+, )\"([a-z_]+)\""
)
# REST framework's own
OTHERS = {"parse_error", "not_authenticated", "authentication_failed", "method_not_allowed", "not_found"}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = Client().get("/api/schema/").json()["components"]["schemas"]
    return found


def fields(schemas: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for struct, schema in schemas.items():
        for name, field in schema.get("properties", {}).items():
            yield struct, name, field


def says(field: dict[str, Any]) -> bool:
    """Whether a field is described in its place, in what it may be, or with the struct that it holds."""
    inner = [field, *field.get("anyOf", ()), *([field["items"]] if "items" in field else [])]
    return any("description" in each or "$ref" in each for each in inner)


def test_every_field_says_what_it_means(schemas: dict[str, Any]) -> None:
    silent = [
        f"{struct}.{name}"
        for struct, name, field in fields(schemas)
        if not says(field) and f"`{name}`" not in schemas[struct].get("description", "")
    ]
    assert silent == []


def test_no_word_of_the_glossary_is_left_over(schemas: dict[str, Any]) -> None:
    names = {name for _, name, _ in fields(schemas)} | {
        f"{struct}.{name}" for struct, name, _ in fields(schemas)
    }
    assert set(DESCRIPTIONS) - names == set()
    assert set(EXAMPLES) - names == set()


def test_seconds_are_told_from_places_in_an_order(schemas: dict[str, Any]) -> None:
    position = {struct: field for struct, name, field in fields(schemas) if name == "position"}
    assert "seconds" in position["PlayStatus"]["description"]
    assert "order" in position["PlaylistItemEntry"]["description"]
    assert "examples" not in position["PlaylistItemEntry"]


def test_every_time_has_its_format(schemas: dict[str, Any]) -> None:
    """From the format, generated clients know that a text is a time."""
    bare = [
        f"{struct}.{name}"
        for struct, name, field in fields(schemas)
        if name.endswith("_at") and '"format": "date-time"' not in json.dumps(field)
    ]
    assert bare == []
    assert schemas["PlayStatus"]["properties"]["updated_at"]["format"] == "date-time"


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope.count(".") < 2])
def test_every_scope_is_explained(scope: str) -> None:
    assert f"`{scope}`" in APPS


def test_every_code_of_an_error_is_listed() -> None:
    sources = [path for part in ("api/*.py", "api/v1/*.py", "eventstore/**/*.py") for path in ROOT.glob(part)]
    codes = {code for path in sources for code in RAISED.findall(path.read_text())} | OTHERS
    nouns = {f"{noun}_{what}" for noun in ("playlist", "collection") for what in ("not_found", "exists")}
    assert len(codes) > 20
    assert {code for code in codes | nouns if f"`{code}`" not in APPS} == set()
