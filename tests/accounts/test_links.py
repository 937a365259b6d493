"""The addresses that an app gives in its description."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.links import InvalidLink, redirect_uri, web_address
from accounts.tokens import TokenError
from tests.accounts.tokens import HEADER, forge, read_as_authorization
from tests.factories import APP, authorization_claims

BOTH_REFUSE = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>",
    "file:///etc/passwd",
    "vbscript:x",
    "//evil.example",
    "/path",
    "evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https://",
    "https://?x",
    "https://user@evil.example/",
    "https://user:password@evil.example/",
    "https://good.example\\@evil.example/",
    "https:\\\\evil.example",
    "https://evil.example/\"onload='x'",
    "https://evil.example/<b>",
    "https://evil.example/ x",
    " https://evil.example/",
    "https://evil.example/\n",
    "https://evil.example/\t",
    "java\tscript:alert(1)",
    "https://evil.example/\u202ecod.exe",
    "https://evil.example/\u200b",
    "https://evil.example/\0",
    "https://evil.example:99999/",
    "https://evil.example:x/",
    "https://[::1/",
    "https://[::1]evil.example/",
    "https://[::1%25lo]/",
    "https://[v1.x]/",
    "https://-evil.example/",
    "https://evil..example/",
    "https://.evil.example/",
    "https://e%76il.example/",
    "https://evil.example*/",
    "https://evil.example/" + "x" * 2048,
    "https://" + "x." * 127 + "example/",
    "https://faß.example/",
    "https://bü..example/",
    "https://" + "ü" * 70 + ".example/",
    "https://a\u200db.example/",
    "",
    None,
    1,
    ["https://good.example"],
]


@pytest.mark.parametrize("value", BOTH_REFUSE, ids=lambda value: ascii(value)[:40])
def test_it_refuses_what_is_no_plain_address(value: object) -> None:
    with pytest.raises(InvalidLink):
        web_address(value)
    with pytest.raises(InvalidLink):
        redirect_uri(value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://castaway.example", "https://castaway.example"),
        ("HTTP://Castaway.Example:8080/A%20b?c=d#e", "http://castaway.example:8080/A%20b?c=d#e"),
        ("https://bücher.example/é?ü", "https://xn--bcher-kva.example/%C3%A9?%C3%BC"),
        ("https://аpple.example/", "https://xn--pple-43d.example/"),
        ("https://日本語。jp/", "https://xn--wgv71a119e.jp/"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]:80/"),
        ("http://192.0.2.1/", "http://192.0.2.1/"),
        ("http://nas_2.local/", "http://nas_2.local/"),
    ],
)
def test_an_address_is_kept_as_it_is_to_be_shown(given: str, kept: str) -> None:
    assert web_address(given) == kept
    assert web_address(kept) == kept


@given(
    st.text() | st.text().map(lambda text: f"https://{text}") | st.text().map("https://a.example/{}".format)
)
def test_any_text_is_refused_or_made_harmless(text: str) -> None:
    try:
        kept = web_address(text)
    except InvalidLink:
        return
    assert kept.isascii()
    assert kept.isprintable()
    assert not set(kept) & set(" \"'<>\\`")
    assert web_address(kept) == kept


@pytest.mark.parametrize(
    "value",
    [
        "https://castaway.example/done?from=balados",
        "http://localhost/done",
        "http://localhost:5000/done",
        "http://127.0.0.1:51234",
        "http://[::1]:51234/done",
        "com.example.app:/done",
        "com.example.app://done",
        "com.example.my-app2:done",
    ],
)
def test_it_returns_to_https_loopback_and_private_schemes(value: str) -> None:
    app = APP.description() | {"redirect_uri": value}
    assert read_as_authorization(forge(HEADER, authorization_claims(app=app))).redirect_uri == value


@pytest.mark.parametrize(
    "value",
    [
        "http://castaway.example/done",
        "http://localhost.evil.example/",
        "http://127.0.0.2/",
        "http://0.0.0.0/",
        "https://castaway.example/#done",
        "https://castaway.example/#",
        "https://bücher.example/",
        "https://castaway.example/é",
        "castaway:/done",
        "mailto:alice@example.org",
        "intent:x",
        "com.example.app://user@host/",
        "com..app:/done",
        ".com.app:/done",
        "com.example.app",
        "1.2:/x",
    ],
)
def test_it_returns_nowhere_else(value: str) -> None:
    app = APP.description() | {"redirect_uri": value}
    with pytest.raises(TokenError) as refusal:
        read_as_authorization(forge(HEADER, authorization_claims(app=app)))
    assert refusal.value.code == "invalid_redirect_uri"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "  "},
        {"name": None},
        {"name": 1},
        {"name": ["Castaway"]},
        {"name": "x" * 101},
        {"name": "x" * 5000},
        {"name": "a\nb"},
        {"name": "a\0b"},
        {"name": "\u202eyawatsaC"},
        {"name": "Cast\u200baway"},
        {"name": "\ud800"},
        {"url": "javascript:alert(1)"},
        {"url": 1},
        {"url": {}},
        {"image": "data:image/png;base64,AAAA"},
        {"image": "//evil.example/x.png"},
        {"image": ["x"]},
    ],
    ids=lambda changes: ascii(changes)[:40],
)
def test_it_refuses_hostile_descriptions(changes: dict[str, object]) -> None:
    with pytest.raises(TokenError) as refusal:
        read_as_authorization(forge(HEADER, authorization_claims(app=APP.description() | changes)))
    assert refusal.value.code == "invalid_app"
    assert next(iter(changes)) in refusal.value.detail


@pytest.mark.parametrize("app", [None, [], "Castaway", 1, True, {}], ids=ascii)
def test_it_refuses_what_is_no_description(app: object) -> None:
    with pytest.raises(TokenError):
        read_as_authorization(forge(HEADER, authorization_claims(app=app)))


@pytest.mark.parametrize(
    "name", ["<b>Castaway</b>", "\"'><script>", "Été", "پادکست\u200cها", "👩\u200d💻 Player"]
)
def test_a_name_may_hold_any_visible_text(name: str) -> None:
    app = APP.description() | {"name": f" {name} ", "url": "", "image": None}
    read = read_as_authorization(forge(HEADER, authorization_claims(app=app)))
    assert (read.name, read.url, read.image) == (name, "", "")
