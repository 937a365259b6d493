"""Which feeds are one show, and where a feed lives now: rules that turn evidence into decisions. Pure.

Anybody can copy a podcast:guid, and anybody can redirect to somebody else's feed. Thus a guid alone proves
nothing; a redirect must last, or lead to a show that was known already; and a feed that is secret, or that
the operator has blocked, is never moved or merged.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from eventstore.domain.identifiers import InvalidIdentifier, normalise_url
from eventstore.domain.secrets import is_secret_url
from feeds.fetch import Hop

PERMANENT: Final = frozenset((301, 308))
# number of newest episodes by which two feeds are compared
NEWEST: Final = 20
# least number of shared episodes for merging two feeds where no server says that they are one
FEWEST_SHARED: Final = 3
REDIRECTS_SEEN: Final = 3
REDIRECTED_FOR: Final = timedelta(hours=48)
ANNOUNCED_FOR: Final = timedelta(hours=24)
# A move back to the previous address within this time is contested, and is left to the operator.
TO_AND_FRO: Final = timedelta(days=7)
# the namespace of podcast:guid and of the Open Podcast API
NAMESPACE: Final = UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")


class Verdict(Enum):
    """The decision that follows from evidence. ``RETURN``: move back, and stay until the operator decides."""

    NOTHING = auto()
    MOVE = auto()
    RETURN = auto()


class Overlap(NamedTuple):
    """How many of the ``newest`` episodes of a feed another feed has."""

    shared: int
    newest: int

    def reaches(self, percent: int) -> bool:
        return self.newest > 0 and 100 * self.shared >= percent * self.newest


class Evidence(NamedTuple):
    """Evidence that a feed lives elsewhere now. ``reason``: a ``FeedAlias.Reason``, "moved" for a redirect.

    ``same_show``: the new address has the show that was known. ``left_at``: when the feed last moved away
    from ``to_url``, if it ever did. ``kept_apart``: the operator has blocked one of the two.
    """

    reason: str
    to_url: str
    first_seen_at: datetime
    last_seen_at: datetime
    times: int
    same_show: bool
    left_at: datetime | None = None
    kept_apart: bool = False


class Show(NamedTuple):
    """A feed that was read. ``overlap``: how many of its newest episodes another feed has."""

    url: str
    podcast_guid: UUID | None
    first_seen_at: datetime
    overlap: Overlap


def permanent_target(url: str, hops: Sequence[Hop]) -> str | None:
    """Return the normalised address to which permanent redirects lead from a feed's address, or None.

    Only redirects before the first temporary one count, and the target must be a valid address of a feed.
    """
    target = url
    for hop in hops:
        if hop.status not in PERMANENT:
            break
        target = hop.to
    return other_address(url, target)


def other_address(url: str, target: str) -> str | None:
    """Return the normal form of an address to which a feed of ``url`` may move, or None.

    None also where the feed is at that address already. No feed ever moves from or to a secret address.
    """
    try:
        target = normalise_url(target)
    except InvalidIdentifier:
        return None
    return None if target == url or is_secret_url(url) or is_secret_url(target) else target


def overlap(newest: Collection[bytes], others: Collection[bytes]) -> Overlap:
    """Return how many of a feed's newest episodes another feed has, by their keys."""
    others = frozenset(others)
    return Overlap(sum(key in others for key in newest), len(newest))


def is_same_show(guid: UUID | None, other: UUID | None, shared: Overlap) -> bool:
    """Whether a feed's own redirect or announcement leads to the same show."""
    return (guid is not None and guid == other) or shared.reaches(50)


def judge(evidence: Evidence, now: datetime) -> Verdict:
    """Decide on a move, from the evidence of a redirect or of itunes:new-feed-url."""
    if evidence.kept_apart or not _is_proven(evidence):
        return Verdict.NOTHING
    if evidence.left_at is not None and now - evidence.left_at < TO_AND_FRO:
        return Verdict.RETURN
    return Verdict.MOVE


def _is_proven(evidence: Evidence) -> bool:
    lasted = evidence.last_seen_at - evidence.first_seen_at
    match evidence.reason:
        case "moved":
            lasting = evidence.times >= REDIRECTS_SEEN and lasted >= REDIRECTED_FOR
            return evidence.same_show or lasting
        case "new_feed_url":
            return evidence.same_show and evidence.times > 1 and lasted >= ANNOUNCED_FOR
    return False


def are_twins(one: Show, other: Show) -> bool:
    """Whether two addresses that differ only in http and https have the same show."""
    if other.url != twin_address(one.url):
        return False
    same_guid = one.podcast_guid is not None and one.podcast_guid == other.podcast_guid
    return same_guid or (one.overlap.reaches(80) and other.overlap.reaches(80))


def are_one_show(one: Show, other: Show) -> bool:
    """Whether two feeds are one show though no server says so: same guid, and mostly the same episodes."""
    if one.podcast_guid is None or one.podcast_guid != other.podcast_guid:
        return False
    shared = min(one.overlap.shared, other.overlap.shared)
    return shared >= FEWEST_SHARED and one.overlap.reaches(50) and other.overlap.reaches(50)


def address_to_keep(one: Show, other: Show) -> str:
    """Return which of two addresses of one show is fetched from now on.

    For twins that is the https address; otherwise the one from which their podcast:guid was derived, which a
    copy elsewhere cannot be; otherwise the one known first.
    """
    if other.url == twin_address(one.url):
        return one.url if one.url.startswith("https:") else other.url
    for show in (one, other):
        if show.podcast_guid == guid_of(show.url):
            return show.url
    return min((show.first_seen_at, show.url) for show in (one, other))[1]


def twin_address(url: str) -> str:
    """Return the same address with https for http, or the other way round."""
    scheme, _, rest = url.partition("://")
    return f"{'http' if scheme == 'https' else 'https'}://{rest}"


def guid_of(url: str) -> UUID:
    """Return the podcast:guid of an address: the UUIDv5 of it without its scheme and trailing slashes."""
    return uuid5(NAMESPACE, url.partition("://")[2].rstrip("/"))
