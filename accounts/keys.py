"""RSA public keys of apps: read once from PEM, kept as SPKI DER."""

import hashlib
import re
import secrets
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

SMALLEST_BITS = 2048
LARGEST_BITS = 8192
# below, signatures can be forged from faulty padding checks; above 32 bits, a check costs too much
EXPONENTS = range(65_537, 2**32, 2)
# 8,192 bits are 1,427 characters of PEM
LONGEST_PEM = 2048
ONE_PUBLIC_KEY = re.compile(
    r"\s*-----BEGIN (RSA )?PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END (?:RSA )?PUBLIC KEY-----\s*", re.ASCII
)


class InvalidKey(ValueError):
    """Not an RSA public key that may be used here. The text never holds the key."""


def read_pem(pem: object) -> bytes:
    """The key as SPKI DER: one form, and so one fingerprint, for PKCS#1 and SPKI, LF and CRLF.

    Raises ``InvalidKey``, for private keys, certificates and several keys too.
    """
    if not isinstance(pem, str) or len(pem) > LONGEST_PEM or not ONE_PUBLIC_KEY.fullmatch(pem):
        raise InvalidKey("public_key must be one RSA public key in PEM")
    try:
        key = load_pem_public_key(pem.encode("ascii"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidKey("public_key must be one RSA public key in PEM") from None
    if not isinstance(key, RSAPublicKey):
        raise InvalidKey("public_key must be an RSA key")
    if not SMALLEST_BITS <= key.key_size <= LARGEST_BITS:
        raise InvalidKey(f"public_key must have {SMALLEST_BITS} to {LARGEST_BITS} bits")
    numbers = key.public_numbers()
    if numbers.e not in EXPONENTS:
        raise InvalidKey("public_key must have the public exponent 65537")
    if numbers.n % 2 == 0:
        raise InvalidKey("public_key is not the product of two primes")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(der: bytes) -> str:
    """What names a key: the SHA-256 of its SPKI, in hex."""
    return hashlib.sha256(der).hexdigest()


# 1,024 keys are about 5 MB; reading one costs as much as checking a signature with it (30 µs)
@lru_cache(maxsize=1024)
def load(der: bytes) -> RSAPublicKey:
    """The key that ``read_pem`` made ``der`` of. Raises ``InvalidKey`` where that is damaged."""
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidKey("the stored key cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise InvalidKey("the stored key is not an RSA key")
    return key


@lru_cache(maxsize=16)
def nobodys_key(bits: int) -> RSAPublicKey:
    """A key whose private half nobody has: a signature is tried on it where there is no other."""
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return RSAPublicNumbers(65_537, modulus).public_key()
