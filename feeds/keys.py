"""What names an episode in its feed, as digests of 16 bytes. Pure.

A client writes a GUID and an enclosure's address as it found them, so both are digested in their normal form:
``episode_key`` is then what ``identifiers.guid_key_of`` makes of the client's item.
"""

from hashlib import blake2b

from eventstore.domain.identifiers import InvalidIdentifier, normalise_enclosure, normalise_guid


def episode_key(guid: str, enclosure_url: str) -> bytes:
    """The key of an episode in its feed: by its GUID, or by its enclosure's address where it has none."""
    return _digest(normal_guid(guid) or f"\n{normal_enclosure(enclosure_url)}")


def repeated_guid_key(guid: str, enclosure_url: str) -> bytes:
    """The key of an episode whose GUID another of the same document has already."""
    return _digest(f"{normal_guid(guid)}\n{normal_enclosure(enclosure_url)}")


def item_hash(feed_id: int, guid: str, enclosure_url: str) -> bytes:
    """What a pair of GUID and enclosure that a feed once gave is found by (``EpisodeItem.item_hash``)."""
    return _digest(f"{feed_id}\n{normal_guid(guid)}\n{normal_enclosure(enclosure_url)}")


def normal_guid(guid: str) -> str:
    """The GUID as clients' items have it; one that no item can hold stays as it is."""
    try:
        return normalise_guid(guid)
    except InvalidIdentifier:
        return guid


def normal_enclosure(url: str) -> str:
    """The address as clients' items have it; one that no item can hold stays as it is."""
    try:
        return normalise_enclosure(url)
    except InvalidIdentifier:
        return url


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="replace"), digest_size=16).digest()
