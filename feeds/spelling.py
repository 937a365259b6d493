"""Normalise the addresses of feeds and episodes that apps and other servers send."""

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

from eventstore.domain.identifiers import (
    LONGEST_ITEM,
    InvalidIdentifier,
    feed_of_url,
    is_normal_url,
    normalise_url,
)

SHORTEST: Final = 8
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9_+.-]*:")


class Address(NamedTuple):
    """A received address in its normal form; empty, with the reason, where it is refused."""

    kept: str
    reason: str = ""

    @property
    def feed(self) -> str:
        return feed_of_url(self.kept)


def feed_address(sent: Any) -> Address:
    return _feed_address(sent) if isinstance(sent, str) else Address("", "not_a_string")


def episode_address(sent: Any) -> Address:
    if isinstance(sent, str) and len(sent) * 4 < LONGEST_ITEM and is_normal_url(sent):
        return Address(sent)  # most are, which takes half as long to see
    # in an item, a comma precedes the address
    return _address(sent, LONGEST_ITEM - 1) if isinstance(sent, str) else Address("", "not_a_string")


@lru_cache(maxsize=8_192)
def _feed_address(sent: str) -> Address:
    return _address(sent)


def _address(sent: str, *longest: int) -> Address:
    text = sent.strip()
    if len(text) < SHORTEST:
        return Address("", "too_short")
    try:
        # an address without a scheme is taken as a web address
        return Address(normalise_url(text if _SCHEME.match(text) else f"http://{text}", *longest))
    except InvalidIdentifier as error:
        return Address("", error.code)


class Corrections:
    """Collects ``update_urls``: each spelling that was changed, once, and each that was refused."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        # refused addresses with the reasons
        self.refused: list[tuple[Any, str]] = []

    def note(self, sent: Any, address: Address) -> None:
        if not address.kept:
            self.refused.append((sent, address.reason))
        # an address that contains a password is not repeated
        if isinstance(sent, str) and sent != address.kept and address.reason != "credentials":
            self._kept[sent] = address.kept

    def correct(self, sent: str, kept: str) -> None:
        """Note that a feed has another address than the one that was sent."""
        if sent != kept:
            self._kept[sent] = kept

    def listed(self) -> list[list[str]]:
        return [[sent, kept] for sent, kept in self._kept.items()]
