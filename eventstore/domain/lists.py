"""What playlists and collections have in common: members that come and go, in an order that somebody gave.

Both a list and each of its members are two times, of which the later decides: on equal times it is there.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, TypeVar

from eventstore.domain import times
from eventstore.domain.identifiers import key_of

# The time of a list of which nothing was said yet: whatever is said comes after it.
NEVER = datetime.min.replace(tzinfo=UTC)


class Member(Protocol):
    """An item of a playlist, a feed of a collection."""

    @property
    def added_at(self) -> datetime | None: ...
    @property
    def removed_at(self) -> datetime | None: ...
    @property
    def claims(self) -> times.Claims: ...


class Register(Protocol):
    """A playlist, a collection."""

    updated_at: datetime
    deleted_at: datetime | None
    claims: times.Claims


M = TypeVar("M", bound=Member)


class Believed(NamedTuple):
    """The two times of something as they count (none where there is nothing new), and the claims that they
    replace."""

    came: datetime | None
    came_claim: datetime | None
    went: datetime | None
    went_claim: datetime | None


def exists(of: Register) -> bool:
    return of.deleted_at is None or of.updated_at >= of.deleted_at


def heard_of(of: Register) -> bool:
    """Whether anything was said of the list itself, and not of its members alone."""
    return of.updated_at != NEVER or of.deleted_at is not None


def settled_at(of: Register) -> datetime:
    """The time that decided whether it exists."""
    return of.updated_at if of.deleted_at is None else max(of.updated_at, of.deleted_at)


def is_in(of: Member) -> bool:
    return of.added_at is not None and (of.removed_at is None or of.added_at >= of.removed_at)


def changed_at(of: Member) -> datetime | None:
    """The time that decided whether it is in."""
    return times.later(of.added_at, of.removed_at)


def gone(of: Register, before: datetime) -> bool:
    """Whether it was deleted before that time."""
    return of.deleted_at is not None and not exists(of) and of.deleted_at < before


def left(of: Member, before: datetime) -> bool:
    """Whether it was taken out before that time."""
    return of.removed_at is not None and not is_in(of) and of.removed_at < before


def believed(came: datetime | None, went: datetime | None, claims: times.Claims, now: datetime) -> Believed:
    """What a device says of when something came and when it went, by clocks that can be believed."""
    at, claim = times.believed_or_none(came, claims, now)
    until, until_claim = times.believed_or_none(went, claims, now)
    if came is not None and went is not None and at is not None and until is not None:
        # where the server's clock stands in for the device's, the device's own order still holds
        if came >= went and at < until:
            at = until
        elif came < went and until <= at:
            until = at + times.TICK
    return Believed(at, claim, until, until_claim)


def time_of(
    known: Member | None, at: datetime | None, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """The time that counts for a member's coming or going (none for a wrong-clock action seen before) and
    the claim that it replaces."""
    if at is not None:
        return times.believed(at, known.claims if known else (), now)
    return (now if known is None else times.on_top_of(now, known.added_at, known.removed_at)), None


def next_time(of: Register, now: datetime) -> datetime:
    """The time of what is done to a list at the server: after everything that is known of it."""
    return times.on_top_of(now, of.updated_at, of.deleted_at)


def order_of(placed: Iterable[tuple[str, int | None]]) -> tuple[str, ...]:
    """The names in the order of their positions; those without one are not in it."""
    known = sorted((position, name) for name, position in placed if position is not None)
    return tuple(dict.fromkeys(name for _, name in known))


def arranged(order: Iterable[str], members: Mapping[str, Member]) -> list[str]:
    """Who is in, in order; those who were added since the order was given come last, as they came. Of one
    time, as a wrong clock leads to, by their digests, which is the order that the read tables have."""
    here = {name: of.added_at for name, of in members.items() if of.added_at is not None and is_in(of)}
    first = [name for name in order if name in here]
    placed = set(first)
    since = sorted((at, key_of(name), name) for name, at in here.items() if name not in placed)
    return [*first, *(name for _, _, name in since)]


def news(said: Believed, stands: Register, is_newer: Callable[[datetime], bool]) -> Believed:
    """What of a list's own times is to be recorded. A replaced time is recorded also where it loses: so that
    it is known when it comes again."""
    came, went = said.came, said.went
    if came is not None and said.came_claim is None and not is_newer(came):
        came = None
    if went is not None and said.went_claim is None and not times.is_later(went, stands.deleted_at):
        went = None
    return said._replace(came=came, went=went)


def rule(
    said: Register,
    stands: Register,
    agree: bool,
    members: Iterable[tuple[Member, Member]],
    now: datetime,
) -> str | None:
    """Why a device's list, or the first of its ``members`` that did, lost to what stands; nothing where it
    agrees. ``agree``: whether both are called and ordered alike."""
    if exists(said) is not exists(stands):
        at, decided = settled_at(said), settled_at(stands)
        return times.rule(at, decided, stands.claims, now, tie="existing_wins_a_tie")
    if not exists(stands):
        return None
    if not agree:
        tie = "greater_value_wins_a_tie"
        return times.rule(said.updated_at, stands.updated_at, stands.claims, now, tie)
    for one, kept in members:
        at_last = changed_at(one)
        if at_last is not None and is_in(one) is not is_in(kept):
            return times.rule(at_last, changed_at(kept), kept.claims, now, tie="added_wins_a_tie")
    return None


def without(
    members: Mapping[str, M], order: Iterable[str], before: datetime
) -> tuple[dict[str, M], tuple[str, ...]]:
    """Members and order without who was taken out before that time."""
    gone = {name for name, of in members.items() if left(of, before)}
    kept = {name: of for name, of in members.items() if name not in gone}
    return kept, tuple(name for name in order if name not in gone)
