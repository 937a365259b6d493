"""Which claims are accepted in each kind of token."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.tokens import NOBODY, TokenError
from tests.accounts.tokens import HEADER, Kind, forge, is_refused, read_as_authorization, read_as_request
from tests.factories import ALICE, APP, NOW, T, authorization_claims, request_claims
from tests.properties import examples

# ---- times


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": ...},
        {"exp": None},
        {"exp": T - 31, "iat": T - 100},
        {"exp": str(T + 600)},
        {"exp": True},
        {"exp": -1},
        {"exp": 0},
        {"exp": 10**18},
        {"exp": 9 * 10**18},
        {"exp": 1e300},
        {"exp": [T + 600]},
        {"exp": T + 86_401},
        {"iat": ...},
        {"iat": None},
        {"iat": str(T)},
        {"iat": False},
        {"iat": -1},
        {"iat": T + 31},
        {"iat": T + 20, "exp": T + 20},
        {"iat": T + 20, "exp": T + 10},
        {"nbf": T + 31},
        {"nbf": "now"},
        {"nbf": None},
        {"nbf": True},
        {"aud": "https://other.example"},
        {"aud": "http://localhost:8000/"},
        {"aud": "http://localhost:80"},
        {"aud": "http://localhost:8000.evil.example"},
        {"aud": ""},
        {"aud": None},
        {"aud": 8000},
        {"aud": True},
        {"aud": []},
        {"aud": ["https://other.example"]},
        {"aud": ["http://localhost:8000", "https://other.example"]},
        {"aud": {"http://localhost:8000": 1}},
    ],
    ids=lambda changes: ascii(changes)[:50],
)
def test_it_refuses_wrong_times_and_audiences(kind: Kind, changes: dict[str, Any]) -> None:
    claims, read = kind
    assert is_refused(read, forge(HEADER, claims(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": T - 500, "exp": T - 29},
        {"iat": T + 29},
        {"nbf": T + 29},
        {"nbf": T - 100},
        {"iat": T - 0.5, "exp": T + 0.5},
        {"aud": "http://localhost:8000"},
        {"aud": ["http://localhost:8000"]},
    ],
    ids=ascii,
)
def test_it_takes_thirty_seconds_of_leeway_and_this_instance(kind: Kind, changes: dict[str, Any]) -> None:
    claims, read = kind
    assert read(forge(HEADER, claims(**changes))) is not None


def test_a_token_lives_only_so_long() -> None:
    assert read_as_request(forge(HEADER, request_claims(exp=T + 3600)))
    assert is_refused(read_as_request, forge(HEADER, request_claims(exp=T + 3601)))
    assert read_as_authorization(forge(HEADER, authorization_claims(exp=T + 86_400)))


def test_a_wrong_clock_is_named(kind: Kind) -> None:
    claims, _ = kind
    read = read_as_authorization if "app" in claims() else read_as_request
    token = forge(HEADER, claims(exp=T + 1200))
    with pytest.raises(TokenError, match="from the future") as refusal:
        read(token, NOW - timedelta(minutes=10))
    assert refusal.value.code == "token_from_the_future"
    with pytest.raises(TokenError) as refusal:
        read(token, NOW + timedelta(minutes=21))
    assert refusal.value.code == "token_expired"


# ---- issuer and audience


@pytest.mark.parametrize(
    "sub",
    [
        1,
        [ALICE],
        None,
        ...,
        "",
        "alice",
        ALICE.upper(),
        ALICE + " ",
        ALICE[:-1] + "\0",
        "{" + ALICE[:-2] + "}",
        ALICE.replace("-", ""),
        "urn:uuid:" + ALICE[:27],
        "x" * 3000,
    ],
    ids=lambda sub: ascii(sub)[:30],
)
def test_what_is_no_user_id_counts_as_an_unknown_user(sub: object) -> None:
    read = read_as_request(forge(HEADER, request_claims(sub=sub)))
    assert read is not None
    assert read.user_id == NOBODY


@pytest.mark.parametrize(
    "iss",
    [
        1,
        ["org.example.castaway"],
        None,
        ...,
        "",
        "a\0b",
        "a\nb",
        "\ud800",
        " app",
        "app ",
        "\u00a0app",
        "\u202eapp",
        "\u200bapp",
        "a" * 256,
        "a" * 5000,
    ],
    ids=lambda iss: ascii(iss)[:30],
)
def test_it_refuses_what_is_no_app_id(kind: Kind, iss: object) -> None:
    claims, read = kind
    assert is_refused(read, forge(HEADER, claims(iss=iss)))


@pytest.mark.parametrize("iss", ["a", "a" * 255, "My App", "https://app.example/", "Été", "ORG.example"])
def test_an_app_id_is_kept_byte_for_byte(iss: str) -> None:
    assert read_as_authorization(forge(HEADER, authorization_claims(iss=iss))).app_id == iss


def test_neither_kind_passes_for_the_other() -> None:
    assert is_refused(read_as_request, forge(HEADER, authorization_claims(sub=ALICE)))
    assert is_refused(read_as_request, forge(HEADER, request_claims(app=None)))
    assert is_refused(read_as_authorization, forge(HEADER, request_claims()))
    assert is_refused(read_as_authorization, forge(HEADER, request_claims(scopes=["*"])))


@pytest.mark.parametrize("name", ["jti", "device_id", "device_name"])
@pytest.mark.parametrize("value", [1, True, [], {}, "", "a\0b", "a\n", "\ud800", "x" * 256], ids=ascii)
def test_it_refuses_odd_names_of_tokens_and_devices(name: str, value: object) -> None:
    assert is_refused(read_as_request, forge(HEADER, request_claims(**{name: value})))


def test_a_device_may_be_left_open() -> None:
    read = read_as_request(forge(HEADER, request_claims(jti=None, device_id=None, device_name=None)))
    assert read is not None
    assert (read.jti, read.device_id, read.device_name) == (None, None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(ALICE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
NAMES = st.sampled_from(
    ["iss", "sub", "iat", "exp", "nbf", "aud", "jti", "app", "scopes", "state", "device_id", "device_name"]
)


@given(st.dictionaries(NAMES, JSON))
@examples(200, shrink=True)
def test_any_claims_are_read_or_refused(changes: dict[str, Any]) -> None:
    is_refused(read_as_request, forge(HEADER, request_claims(**changes)))
    is_refused(read_as_authorization, forge(HEADER, authorization_claims(**changes)))


@given(st.dictionaries(st.sampled_from(["name", "url", "image", "public_key", "redirect_uri"]), JSON))
@examples(200, shrink=True)
def test_any_description_of_an_app_is_read_or_refused(changes: dict[str, Any]) -> None:
    app = APP.description() | changes
    is_refused(read_as_authorization, forge(HEADER, authorization_claims(app=app)))
