"""Playlists and collections: named lists in an order. What both kinds have in common: what they are shown as,
and their pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.http import Http404
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from eventstore import dispatcher
from eventstore.domain.collections import DEFAULT_NAME
from eventstore.domain.identifiers import key_of
from eventstore.domain.ordered import Commands, OrderedSet
from eventstore.domain.playlists import QUEUE_NAME
from eventstore.domain.user import User as State
from feeds.queries import feeds_for
from projections.queries import Page
from web import shown, words
from web.listforms import PlaylistForm
from web.shown import Episode, Podcast

MOST_LISTS = 1_000
MOST_MEMBERS = 50_000
# the covers of a list's picture
PICTURES = 4


class Member(NamedTuple):
    """What is in a list. ``key``: its digest, by which forms name it."""

    key: str
    shown: Episode | Podcast


class Words(NamedTuple):
    """What pages say of a kind of lists."""

    title: str | Promise
    new: str | Promise
    edit: str | Promise
    made: str | Promise
    deleted: str | Promise
    exists: str | Promise


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of lists.

    ``many``: the topic, its projector, and the beginning of its addresses. ``id``: the field of commands.
    ``names``: how commands name the member of a row; ``digest``: of these names. ``show``: members with what
    is known of them. ``name_many``: the field of the command that orders, ``order`` its value.
    """

    many: str
    id: str
    register: OrderedSet[Any, Any]
    commands: Commands
    form: type[PlaylistForm]
    words: Words
    read_lists: Callable[[UUID, str | None, int], Page[Any]]
    read_list: Callable[[UUID, UUID], Page[Any]]
    read_members: Callable[[UUID, UUID, str | None, int], Page[Any]]
    latest_feeds: Callable[[UUID, Sequence[UUID], int], Mapping[UUID, list[str]]]
    names: Callable[[Any], dict[str, str]]
    digest: Callable[..., str]
    show: Callable[[UUID, Sequence[Any]], list[Member]]
    name_many: str
    order: Callable[[Sequence[Any]], tuple[Any, ...]]

    @property
    def is_playlists(self) -> bool:
        return self.many == "playlists"

    @property
    def path(self) -> str:
        return f"/{self.many}"

    def key(self, row: Any) -> str:
        """What forms call a member."""
        return self.digest(**self.names(row))

    def all_of(self, user_id: UUID) -> list["Listed"]:
        """All that a listener has but the queue, the default collection first and the others by their
        names."""
        rows = self.read_lists(user_id, None, MOST_LISTS).rows
        found = [listed for row in rows if not (listed := Listed.of(self, row)).is_queue]
        return sorted(found, key=lambda each: (not each.is_default, each.name.casefold(), each.id))

    def find(self, user_id: UUID, list_id: UUID) -> "Listed":
        """One of a listener's. Raises ``Http404``."""
        rows = self.read_list(user_id, list_id).rows
        if not rows:
            raise Http404
        return Listed.of(self, rows[0])

    def find_deleted(self, user_id: UUID, list_id: UUID) -> "Listed | None":
        """One that a listener had and has deleted."""
        known = getattr(dispatcher.state_of(user_id).user, self.many).get(str(list_id))
        if known is None or self.register.is_on(known) or not self.register.is_known(known):
            return None
        return Listed.of_state(self, list_id, known, 0)

    def members(self, state: State, list_id: UUID) -> list[Any]:
        """All that is in a list, in its order, by the stream itself: read models follow a moment later. Only
        what is in the default collection they alone say."""
        known = getattr(state, self.many)[str(list_id)]
        if getattr(known, "is_default", False):
            return self.read_members(state.user_id, list_id, None, MOST_MEMBERS).rows
        # those that are in come first
        told: Any = getattr(self.register.to_entry(str(list_id), known), self.register.plural)
        return list(told[: len(self.register.arranged(known))])

    def pictures(self, user_id: UUID, lists: Sequence["Listed"]) -> list["Listed"]:
        """The same lists with the covers of what was last added to them."""
        feeds = self.latest_feeds(user_id, [each.id for each in lists], PICTURES)
        known = feeds_for(user_id, {feed for found in feeds.values() for feed in found})
        return [
            each._replace(covers=[shown.named(feed, known.get(feed)) for feed in feeds[each.id]])
            for each in lists
        ]


class Listed(NamedTuple):
    """A list as pages show it, without what is in it. ``size``: how many are in it. ``covers``: of podcasts,
    for its picture."""

    kind: Kind
    id: UUID
    name: str
    description: str
    color: str
    is_public: bool
    is_default: bool
    size: int
    covers: list[Podcast]
    is_queue: bool = False

    @classmethod
    def of(cls, kind: Kind, row: Any) -> "Listed":
        """By a row of the read models, whose last column counts what is in it."""
        return cls.of_state(kind, row.id, row, row[-1])

    @classmethod
    def of_state(cls, kind: Kind, list_id: UUID, state: Any, size: int) -> "Listed":
        """By the state of its stream."""
        is_default = getattr(state, "is_default", False)
        is_queue = getattr(state, "kind", "") == "queue"
        name = name_of(state)
        color = getattr(state, "color", None) or ""
        description = state.description or ""
        told = name, description, color, state.is_public, is_default
        return cls(kind, list_id, *told, size, [], is_queue)

    @property
    def path(self) -> str:
        return f"/{self.kind.many}/{self.id}"

    @property
    def page(self) -> str:
        """Its own page: the queue's has an address of its own."""
        return "/queue" if self.is_queue else self.path

    @property
    def hue(self) -> int:
        return int(key_of(str(self.id))[:4], 16) % shown.HUES

    @property
    def initials(self) -> str:
        return words.initials(self.name)

    @property
    def cover(self) -> str:
        """There is none but those of what is in it."""
        return ""

    @property
    def is_mosaic(self) -> bool:
        return len(self.covers) >= PICTURES


def name_of(state: Any) -> str:
    """What a list is called, by its state or its row. The first names of the default collection and of the
    queue are the same in every language; one that its listener gave stays as it is."""
    name: str = state.name
    if getattr(state, "kind", "") == "queue" and name == QUEUE_NAME:
        return _("Up next")
    return _("All podcasts") if getattr(state, "is_default", False) and name == DEFAULT_NAME else name
