"""The form of both kinds of token: text, encoding and signature."""

import json

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.accounts.tokens import (
    HEADER,
    Kind,
    base64url,
    forge,
    is_refused,
    read_as_authorization,
    read_as_request,
)
from tests.apps import App, pem
from tests.factories import ALICE, APP, NOW, authorization_claims, request_claims
from tests.properties import examples

# ---- valid tokens


def test_it_reads_an_authorization_made_by_another_library() -> None:
    read = read_as_authorization(APP.sign(authorization_claims(state="xyz", aud="http://localhost:8000")))
    assert (read.app_id, read.name, read.url) == (APP.iss, "Castaway", "https://castaway.example")
    assert (read.scopes, read.state, read.redirect_uri, read.subject) == (("user.plays",), "xyz", None, None)
    assert read.read_at == NOW


def test_it_reads_a_request_made_by_another_library() -> None:
    read = read_as_request(
        APP.sign(request_claims(jti="1", device_id="phone", device_name="Téléphone\u00a0d’Alice"))
    )
    assert read is not None
    assert (read.app_id, str(read.user_id), read.jti) == (APP.iss, ALICE, "1")
    assert (read.device_id, read.device_name) == ("phone", "Téléphone\u00a0d’Alice")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS256"},
        HEADER,
        HEADER | {"kid": "2026-11"},
        HEADER | {"kid": "nYx0VJ-gT3mZ4s8="},
    ],
    ids=json.dumps,
)
def test_it_takes_the_headers_that_clients_send(kind: Kind, header: object) -> None:
    claims, read = kind
    assert read(forge(header, claims())) is not None


def test_a_type_of_its_own_is_understood_for_authorizations_alone() -> None:
    own = HEADER | {"typ": "balados-authz+jwt"}
    assert read_as_authorization(forge(own, authorization_claims()))
    assert is_refused(read_as_request, forge(own, request_claims()))


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_it_takes_keys_of_the_usual_sizes(bits: int) -> None:
    app = App(key=f"of {bits} bits", bits=bits)
    assert read_as_authorization(forge(HEADER, authorization_claims(app=app.description()), app=app))


def test_it_takes_a_token_at_the_limit_of_its_length(kind: Kind) -> None:
    claims, read = kind
    empty = len(forge(HEADER, claims(note="")))
    # base64 turns three bytes into four characters
    longest = forge(HEADER, claims(note="x" * ((8192 - empty) // 4 * 3)))
    assert 8185 < len(longest) <= 8192
    assert read(longest) is not None


# ---- algorithms


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, ...], ids=str)
@pytest.mark.parametrize("signature", [b"", b"\x01" * 256, None], ids=["empty", "made up", "right"])
def test_it_refuses_unsigned_tokens(kind: Kind, alg: object, signature: bytes | None) -> None:
    claims, read = kind
    header = {"typ": "JWT"} if alg is ... else {"typ": "JWT", "alg": alg}
    assert is_refused(read, forge(header, claims(), signature=signature))


def public_texts() -> dict[str, bytes]:
    text = APP.public_key
    der = APP.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps(pyjwt.algorithms.RSAAlgorithm.to_jwk(APP.key.public_key(), as_dict=True))
    one_line = text.replace("\n", "")
    return {
        "PEM": text.encode(),
        "PEM stripped": text.strip().encode(),
        "PEM CRLF": text.replace("\n", "\r\n").encode(),
        "PEM in one line": one_line.encode(),
        "PKCS1": pem(APP.key, PublicFormat.PKCS1).encode(),
        "DER": der,
        "JWK": jwk.encode(),
        "empty": b"",
    }


@pytest.mark.parametrize("secret", public_texts().values(), ids=public_texts())
@pytest.mark.parametrize("alg", ["HS256", "HS512", "RS256"])
def test_it_refuses_the_public_key_as_a_secret(kind: Kind, secret: bytes, alg: str) -> None:
    claims, read = kind
    hashed = pyjwt.algorithms.HMACAlgorithm(pyjwt.algorithms.HMACAlgorithm.SHA256)
    signed = f"{base64url(json.dumps({'alg': alg}).encode())}.{base64url(json.dumps(claims()).encode())}"
    assert is_refused(read, f"{signed}.{base64url(hashed.sign(signed.encode(), secret))}")


@pytest.mark.parametrize(
    "alg",
    ["RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256", "RS256 ", "RS256\0", ["RS256"], 256, True, {}],
    ids=ascii,
)
def test_it_refuses_other_algorithms(kind: Kind, alg: object) -> None:
    claims, read = kind
    assert is_refused(read, forge({"alg": alg, "typ": "JWT"}, claims()))


@pytest.mark.parametrize("digest", [SHA384(), SHA512()], ids=["RS384", "RS512"])
@pytest.mark.parametrize("honest", [True, False], ids=["as itself", "as RS256"])
def test_it_refuses_genuine_signatures_of_another_kind(
    kind: Kind, digest: SHA384 | SHA512, honest: bool
) -> None:
    claims, read = kind
    alg = f"RS{digest.digest_size * 8}" if honest else "RS256"
    assert is_refused(read, forge({"alg": alg}, claims(), digest=digest))


def test_it_refuses_a_pss_signature(kind: Kind) -> None:
    claims, read = kind
    signed = forge(HEADER, claims()).rpartition(".")[0]
    signature = APP.key.sign(signed.encode(), PSS(MGF1(SHA256()), 32), SHA256())
    assert is_refused(read, f"{signed}.{base64url(signature)}")


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": pyjwt.algorithms.RSAAlgorithm.to_jwk(APP.key.public_key(), as_dict=True)},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/cert"},
        {"x5c": ["MIIB"]},
        {"x5t": "x"},
        {"kid": "../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": "a\0b"},
        {"kid": 7},
        {"kid": None},
        {"kid": ""},
        {"kid": ["a"]},
        {"crit": ["exp"]},
        {"crit": ["unknown"], "unknown": 1},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "at+jwt"},
        {"typ": None},
        {"typ": ["JWT"]},
        {"typ": {}},
        {"": 1},
    ],
    ids=lambda extra: ascii(extra)[:40],
)
def test_it_refuses_every_other_header(kind: Kind, extra: dict[str, object]) -> None:
    claims, read = kind
    assert is_refused(read, forge(HEADER | extra, claims()))


def test_it_refuses_a_signature_by_another_key(kind: Kind) -> None:
    claims, read = kind
    assert is_refused(read, forge(HEADER, claims(), app=App(key="second")))


def test_the_key_that_counts_is_the_one_inside() -> None:
    second = App(key="second")
    assert is_refused(read_as_authorization, forge(HEADER, authorization_claims(app=second.description())))


# ---- text


def spoilt(token: str) -> dict[str, str]:
    head, body, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 256 bytes end in a base64 character of which 4 bits are unused
    other_end = last[last.index(signature[-1]) ^ 1]
    return {
        "two segments": f"{head}.{body}",
        "four segments": f"{token}.{signature}",
        "five segments": f"{token}.x.y",
        "only dots": "..",
        "empty": "",
        "no signature": f"{head}.{body}.",
        "no payload": f"{head}..{signature}",
        "no header": f".{body}.{signature}",
        "padding": f"{token}==",
        "padded payload": f"{head}.{body}=.{signature}",
        "space before": f" {token}",
        "line feed after": f"{token}\n",
        "line feed within": f"{head}.{body}.{signature[:9]}\n{signature[9:]}",
        "NUL": f"{token}\0",
        "junk": f"{head}.{body}.{signature[:9]}*{signature[9:]}",
        "standard alphabet": f"{head}.{body}.{signature[:-2].replace('-', '+').replace('_', '/')}+/",
        "trailing bits": f"{head}.{body}.{signature[:-1]}{other_end}",
        "one character too many": f"{token}A",
        "full-width": f"{head}.{body}.{signature[:-1]}Ａ",
        "not ASCII": f"{head}.{body}.é{signature}",
        "surrogate": f"{head}.{body}.\ud800{signature}",
        "8193 characters": f"{head}.{body}.{'A' * (8191 - len(head) - len(body))}",
        "300 KB": "A" * 300_000,
        "300 KB of dots": "." * 300_000,
        "huge signature": f"{head}.{body}.{'A' * 1400}",
    }


@pytest.mark.parametrize("how", spoilt("a.b.c"))
def test_it_refuses_any_other_spelling(kind: Kind, how: str) -> None:
    claims, read = kind
    assert is_refused(read, spoilt(forge(HEADER, claims()))[how])


@given(st.data())
@examples(200, shrink=True)
def test_one_character_changed_spoils_a_token(data: st.DataObject) -> None:
    token = GOOD_REQUEST
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[place]))
    assert is_refused(read_as_request, token[:place] + other + token[place + 1 :])


GOOD_REQUEST = forge(HEADER, request_claims())


@given(st.text() | st.text(alphabet="abcABC019-_=.").map(lambda text: f"eyJ.{text}.{text}"))
def test_any_text_is_refused_without_another_error(text: str) -> None:
    assert is_refused(read_as_request, text)
    assert is_refused(read_as_authorization, text)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b'"text"',
        b"null",
        b"1",
        b"{",
        b"{} {}",
        b"{'iss': 1}",
        b"",
        b"\xef\xbb\xbf" + json.dumps(request_claims()).encode(),
        json.dumps(request_claims()).encode("utf-16"),
        json.dumps(request_claims(device_name="é"), ensure_ascii=False).encode("latin-1"),
        b'{"exp": NaN}',
        b'{"exp": -Infinity}',
        b'{"exp": ' + b"9" * 5000 + b"}",
        b"[" * 5000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"iss": "\\ud800"}',
        b'{"iss": "a\x00b"}',
    ],
    ids=lambda payload: ascii(payload)[:30],
)
def test_it_refuses_what_is_not_one_json_object(kind: Kind, payload: bytes) -> None:
    _, read = kind
    assert is_refused(read, forge(HEADER, payload))
    assert is_refused(read, forge(payload, payload))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_it_refuses_what_only_python_calls_json(kind: Kind, value: str) -> None:
    claims, read = kind
    payload = json.dumps(claims(note=float(value)))
    assert value in payload
    assert is_refused(read, forge(HEADER, payload.encode()))


@pytest.mark.parametrize("name", ["iss", "sub", "iat", "exp", "scopes", "app", "aud", "note"])
def test_it_refuses_duplicate_claims(kind: Kind, name: str) -> None:
    claims, read = kind
    given = claims() | {"sub": ALICE, "note": 1}
    value = json.dumps(given.get(name, "http://localhost:8000"))
    twice = f'{{"{name}": {value}, "{name}": {value}, {json.dumps(given)[1:]}'
    assert is_refused(read, forge(HEADER, twice.encode()))


@pytest.mark.parametrize(
    "text", ['{"alg": "none", "alg": "RS256"}', '{"alg": "RS256", "\\u0061lg": "RS256"}']
)
def test_it_refuses_duplicate_headers(kind: Kind, text: str) -> None:
    claims, read = kind
    assert is_refused(read, forge(text.encode(), claims()))


def test_it_refuses_duplicates_further_inside() -> None:
    app = json.dumps(APP.description())
    inside = f'{{"name": "Other", {app[1:]}'
    text = json.dumps(authorization_claims(app="here")).replace('"here"', inside)
    assert is_refused(read_as_authorization, forge(HEADER, text.encode()))
