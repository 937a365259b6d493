"""Digests that stand for feeds and items in the keys of the read tables."""

from hashlib import blake2b


def key_of(text: str) -> str:
    """128 bits of BLAKE2b in hexadecimal, as a uuid column takes them.

    No two feeds or items share a key, neither by chance nor on purpose.
    """
    return blake2b(text.encode(), digest_size=16).hexdigest()
