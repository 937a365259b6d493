"""Checks of the public key that an app brings."""

import logging
import secrets
from base64 import b64encode
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from accounts import keys
from accounts.tokens import TokenError, is_signed_by
from tests.accounts.tokens import HEADER, forge, read_as_authorization
from tests.apps import App, key_pair, pem
from tests.factories import APP, NOW, authorization_claims, request_claims

KEY = APP.key
SPKI = PublicFormat.SubjectPublicKeyInfo


def der(tag: int, content: bytes) -> bytes:
    """Return one DER value, as the tests need keys that no library would make."""
    length = len(content)
    size = length.to_bytes((length.bit_length() + 7) // 8 or 1)
    return bytes([tag]) + (size if length < 128 else bytes([0x80 | len(size)]) + size) + content


def number(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1))


def rsa_pem(bits: int, exponent: int = 65_537, *, modulus: int | None = None) -> str:
    modulus = modulus or secrets.randbits(bits) | 1 << (bits - 1) | 1
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    key = der(0x30, number(modulus) + number(exponent))
    text = b64encode(der(0x30, algorithm + der(3, b"\0" + key))).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"


def refusal(public_key: object) -> str:
    """Return the error text for a token with that key."""
    token = forge(HEADER, authorization_claims(app=APP.description() | {"public_key": public_key}))
    with pytest.raises(TokenError) as refused:
        read_as_authorization(token)
    assert refused.value.code in ("invalid_key", "invalid_token")
    return refused.value.detail


def test_the_hand_made_keys_are_right_but_for_their_faults() -> None:
    modulus = KEY.public_key().public_numbers().n
    assert keys.read_pem(rsa_pem(2048, modulus=modulus)) == keys.read_pem(APP.public_key)
    assert keys.read_pem(rsa_pem(2048))
    assert keys.read_pem(rsa_pem(8192))


@pytest.mark.parametrize("bits", [512, 1024, 2047, 8193, 16_384])
def test_it_refuses_keys_too_short_or_too_long(bits: int) -> None:
    assert "public_key" in refusal(rsa_pem(bits))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 17, 65_536, 65_538, 2**32 + 1, 2**256 + 1])
def test_it_refuses_odd_exponents(exponent: int) -> None:
    assert "public_key" in refusal(rsa_pem(2048, exponent))


def test_it_refuses_an_even_modulus() -> None:
    assert "public_key" in refusal(rsa_pem(2048, modulus=1 << 2047))


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "castaway")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.PEM).decode()


def public_pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | dsa.DSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, SPKI).decode()


OTHER_KEYS = {
    "EC": public_pem(ec.generate_private_key(ec.SECP256R1()).public_key()),
    "Ed25519": public_pem(ed25519.Ed25519PrivateKey.generate().public_key()),
    "certificate": certificate(),
    "ssh": KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "DER": b64encode(KEY.public_key().public_bytes(Encoding.DER, SPKI)).decode(),
    "JWK": {"kty": "RSA", "n": "x", "e": "AQAB"},
    "list": [APP.public_key],
    "null": None,
    "number": 1,
    "empty": "",
    "path": "/etc/ssl/certs/ca-certificates.crt",
    "url": "http://127.0.0.1:9/key.pem",
    "5 KB": APP.public_key + "x" * 3000,
    "empty block": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "not base64": "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
    "wrong base64": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "cut off": APP.public_key[:200],
    "headers": APP.public_key.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
    "text before": "my key\n" + APP.public_key,
    "NUL": APP.public_key + "\0",
}


@pytest.mark.parametrize("key", OTHER_KEYS.values(), ids=OTHER_KEYS)
def test_it_refuses_what_is_not_one_rsa_public_key(key: object) -> None:
    assert "public_key" in refusal(key)


def test_a_key_of_100_kb_is_refused_with_its_token() -> None:
    assert "longer than" in refusal("x" * 100_000)


def private_pem(form: PrivateFormat, password: bytes | None = None) -> str:
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    return key_pair("small secret").private_bytes(Encoding.PEM, form, locked).decode()


PRIVATE = {
    "PKCS#8": private_pem(PrivateFormat.PKCS8),
    "PKCS#1": private_pem(PrivateFormat.TraditionalOpenSSL),
    "OpenSSH": private_pem(PrivateFormat.OpenSSH),
    "encrypted": private_pem(PrivateFormat.PKCS8, b"password"),
    "after the public key": APP.public_key + private_pem(PrivateFormat.PKCS8),
    "before the public key": private_pem(PrivateFormat.PKCS8) + APP.public_key,
    "two public keys": APP.public_key + pem(key_pair("second")),
    "the same public key twice": APP.public_key * 2,
    "under a public name": private_pem(PrivateFormat.PKCS8).replace("PRIVATE", "PUBLIC"),
    "RSA under a public name": private_pem(PrivateFormat.TraditionalOpenSSL).replace("PRIVATE", "PUBLIC"),
}


@pytest.mark.parametrize("key", PRIVATE.values(), ids=PRIVATE)
def test_it_refuses_private_and_several_keys_and_repeats_nothing(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = forge(HEADER, authorization_claims(app=APP.description() | {"public_key": key}))
    with pytest.raises(TokenError) as refused:
        read_as_authorization(token)
    error: BaseException | None = refused.value
    texts = caplog.text
    while error is not None:  # everything that a log of the error would show, including its causes
        texts += repr(error) + str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "BEGIN" not in texts
    assert not any(line in texts for line in key.splitlines() if line)


@pytest.mark.parametrize("form", [SPKI, PublicFormat.PKCS1], ids=["SPKI", "PKCS#1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_one_key_has_one_fingerprint(form: PublicFormat, end: str) -> None:
    text = pem(KEY, form).replace("\n", end)
    claims = authorization_claims(app=APP.description() | {"public_key": text})
    read = read_as_authorization(forge(HEADER, claims))
    assert read.public_key == KEY.public_key().public_bytes(Encoding.DER, SPKI)
    assert read.fingerprint == keys.fingerprint(read.public_key)


def test_a_signature_is_tried_even_where_there_is_no_key() -> None:
    token = forge(HEADER, request_claims())
    assert is_signed_by(token, keys.read_pem(APP.public_key))
    assert not is_signed_by(
        forge(HEADER, request_claims(), app=App(key="second")), keys.read_pem(APP.public_key)
    )
    assert not is_signed_by(token, None)
    assert not is_signed_by(token, keys.read_pem(App(key="of 3072 bits", bits=3072).public_key))


@pytest.mark.parametrize("size", [256, 257, 384, 512, 1024])
def test_a_stand_in_has_the_size_of_the_signature(size: int) -> None:
    keys.nobodys_key.cache_clear()
    assert not is_signed_by(forge(HEADER, request_claims(), signature=b"\1" * size), None)
    assert keys.nobodys_key.cache_info().currsize == 1
    assert keys.nobodys_key(8 * size).key_size == 8 * size
    assert keys.nobodys_key.cache_info().hits == 1


def test_a_damaged_stored_key_is_an_error_of_its_own() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, SPKI)
    for damaged in (b"\x30\x00", b"", elliptic):
        with pytest.raises(keys.InvalidKey):
            is_signed_by(forge(HEADER, request_claims()), damaged)


def test_the_stand_in_costs_what_a_real_key_costs() -> None:
    assert isinstance(keys.nobodys_key(2048), rsa.RSAPublicKey)
    assert keys.nobodys_key(2048).key_size == 2048
    assert keys.nobodys_key(2048).public_numbers().e == KEY.public_key().public_numbers().e
