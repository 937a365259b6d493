"""Which feeds are one show, and where a feed lives now: from evidence to what follows from it. Pure.

Anybody can copy a podcast:guid, and anybody can redirect to somebody else's feed. So a guid alone proves
nothing, a redirect has to last or to lead to what was known already, and a secret feed, or one that the
operator keeps from the public, goes along with nothing.
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
# how many of the newest episodes two feeds are compared by
NEWEST: Final = 20
# in common, where it is two rows that become one and no server says that they are
FEWEST_SHARED: Final = 3
REDIRECTS_SEEN: Final = 3
REDIRECTED_FOR: Final = timedelta(hours=48)
ANNOUNCED_FOR: Final = timedelta(hours=24)
# Back to where it left from within this time: whoever is right, it is not for us to say.
TO_AND_FRO: Final = timedelta(days=7)
# of podcast:guid and of the Open Podcast API alike
NAMESPACE: Final = UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")


class Verdict(Enum):
    """What follows from evidence. ``RETURN``: it moves back, and stays there until the operator decides."""

    NOTHING = auto()
    MOVE = auto()
    RETURN = auto()


class Overlap(NamedTuple):
    """How many of the ``newest`` episodes of a feed another one has."""

    shared: int
    newest: int

    def reaches(self, percent: int) -> bool:
        return self.newest > 0 and 100 * self.shared >= percent * self.newest


class Evidence(NamedTuple):
    """That a feed lives elsewhere now. ``reason``: of ``FeedAlias.Reason``, "moved" for a redirect.

    ``same_show``: what is there is what was known of the feed. ``left_at``: when the feed last moved away
    from ``to_url``, if it ever did. ``kept_apart``: the operator keeps one of the two from the public.
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
    """A feed that was read, beside another one. ``overlap``: what the other has of its newest episodes."""

    url: str
    podcast_guid: UUID | None
    first_seen_at: datetime
    overlap: Overlap


def permanent_target(url: str, hops: Sequence[Hop]) -> str | None:
    """Where permanent redirects alone lead from a feed's address, in its normal form; None where nowhere.

    Those behind a temporary one say nothing, and neither does one that leads to no address for a feed.
    """
    target = url
    for hop in hops:
        if hop.status not in PERMANENT:
            break
        target = hop.to
    return other_address(url, target)


def other_address(url: str, target: str) -> str | None:
    """The normal form of an address that a feed of ``url`` may move to; None where it may not, or is there.

    Neither from nor to a secret address does anything ever move.
    """
    try:
        target = normalise_url(target)
    except InvalidIdentifier:
        return None
    return None if target == url or is_secret_url(url) or is_secret_url(target) else target


def overlap(newest: Collection[bytes], others: Collection[bytes]) -> Overlap:
    """What another feed has of the keys of a feed's newest episodes."""
    others = frozenset(others)
    return Overlap(sum(key in others for key in newest), len(newest))


def is_same_show(guid: UUID | None, other: UUID | None, shared: Overlap) -> bool:
    """Whether what was found behind a feed's own redirect or announcement is the same show."""
    return (guid is not None and guid == other) or shared.reaches(50)


def judge(evidence: Evidence, now: datetime) -> Verdict:
    """What follows from evidence of a move by a redirect or by itunes:new-feed-url."""
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
    """Whether two addresses that differ by http and https alone have the same show."""
    if other.url != twin_address(one.url):
        return False
    same_guid = one.podcast_guid is not None and one.podcast_guid == other.podcast_guid
    return same_guid or (one.overlap.reaches(80) and other.overlap.reaches(80))


def are_one_show(one: Show, other: Show) -> bool:
    """Whether two feeds are one though no server says so: the same guid and mostly the same episodes."""
    if one.podcast_guid is None or one.podcast_guid != other.podcast_guid:
        return False
    shared = min(one.overlap.shared, other.overlap.shared)
    return shared >= FEWEST_SHARED and one.overlap.reaches(50) and other.overlap.reaches(50)


def address_to_keep(one: Show, other: Show) -> str:
    """Which of two addresses of one show is fetched from now on.

    https of twins; else the one that their podcast:guid was made of, which a copy elsewhere cannot be; else
    the one that was known first.
    """
    if other.url == twin_address(one.url):
        return one.url if one.url.startswith("https:") else other.url
    for show in (one, other):
        if show.podcast_guid == guid_of(show.url):
            return show.url
    return min((show.first_seen_at, show.url) for show in (one, other))[1]


def twin_address(url: str) -> str:
    """The same address with https for http, and the other way round."""
    scheme, _, rest = url.partition("://")
    return f"{'http' if scheme == 'https' else 'https'}://{rest}"


def guid_of(url: str) -> UUID:
    """The podcast:guid that an address leads to: UUIDv5 of it without scheme and slashes at its end."""
    return uuid5(NAMESPACE, url.partition("://")[2].rstrip("/"))


def name_of(podcast_guid: UUID | None, url: str) -> UUID:
    """What the Open Podcast API calls a feed: its podcast:guid, else the one that its address leads to."""
    return podcast_guid or guid_of(url)
