"""RSA public keys of apps: parsed once from PEM, stored as SPKI DER."""

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
# smaller exponents let signatures be forged if padding checks are faulty; above 32 bits, checks cost too much
EXPONENTS = range(65_537, 2**32, 2)
# a key of 8,192 bits has 1,427 characters of PEM
LONGEST_PEM = 2048
ONE_PUBLIC_KEY = re.compile(
    r"\s*-----BEGIN (RSA )?PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END (?:RSA )?PUBLIC KEY-----\s*", re.ASCII
)


class InvalidKey(ValueError):
    """Not an RSA public key that may be used here. The message never contains the key."""


def read_pem(pem: object) -> bytes:
    """Return the key as SPKI DER, and so with the same fingerprint for PKCS#1 and SPKI, LF and CRLF.

    Raises ``InvalidKey``, also for private keys, certificates and several keys.
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
    """Return what identifies a key: the SHA-256 of its SPKI, in hex."""
    return hashlib.sha256(der).hexdigest()


# 1,024 keys take about 5 MB; loading one costs as much as checking a signature with it (30 µs)
@lru_cache(maxsize=1024)
def load(der: bytes) -> RSAPublicKey:
    """Return the key from the ``der`` that ``read_pem`` made. Raises ``InvalidKey`` if that is damaged."""
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidKey("the stored key cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise InvalidKey("the stored key is not an RSA key")
    return key


@lru_cache(maxsize=16)
def nobodys_key(bits: int) -> RSAPublicKey:
    """Return a key whose private half nobody has, to check signatures against if there is no other key."""
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return RSAPublicNumbers(65_537, modulus).public_key()
