"""Digests that stand for feeds and items in the keys of the read tables."""

from hashlib import blake2b
from uuid import UUID


def key_of(text: str) -> UUID:
    """128 bits of BLAKE2b: no two feeds or items share a key, neither by chance nor on purpose."""
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())
