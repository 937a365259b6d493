"""Identify an episode in its feed by digests of 16 bytes. Pure.

A client sends a GUID and an enclosure's address as it found them, so both are normalised before the digest:
``episode_key`` then equals what ``identifiers.guid_key_of`` computes from the client's item.
"""

from hashlib import blake2b

from eventstore.domain.identifiers import InvalidIdentifier, normalise_enclosure, normalise_guid


def episode_key(guid: str, enclosure_url: str) -> bytes:
    """Return an episode's key in its feed: from its GUID, or from its enclosure's address if it has none."""
    return _digest(normal_guid(guid) or f"\n{normal_enclosure(enclosure_url)}")


def repeated_guid_key(guid: str, enclosure_url: str) -> bytes:
    """Return the key of an episode whose GUID is already used by another in the same document."""
    return _digest(f"{normal_guid(guid)}\n{normal_enclosure(enclosure_url)}")


def item_hash(feed_id: int, guid: str, enclosure_url: str) -> bytes:
    """Return the digest by which a pair of GUID and enclosure is found (``EpisodeItem.item_hash``)."""
    return _digest(f"{feed_id}\n{normal_guid(guid)}\n{normal_enclosure(enclosure_url)}")


def normal_guid(guid: str) -> str:
    """Return the GUID as it is in clients' items; unchanged where no item can contain it."""
    try:
        return normalise_guid(guid)
    except InvalidIdentifier:
        return guid


def normal_enclosure(url: str) -> str:
    """Return the address as it is in clients' items; unchanged where no item can contain it."""
    try:
        return normalise_enclosure(url)
    except InvalidIdentifier:
        return url


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="replace"), digest_size=16).digest()
