"""What playlists and collections have in common: both are named, ordered lists, with the same
data to show and the same pages."""

from collections.abc import Callable, Sequence
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
from projections.lists import Lists
from web import display, humanize
from web.display import Episode, Podcast
from web.list_forms import PlaylistForm

MOST_LISTS = 1_000
MOST_MEMBERS = 50_000
# the number of covers in a list's picture
PICTURES = 4


class Member(NamedTuple):
    """A member of a list. ``key``: its digest, which identifies it in forms."""

    key: str
    shown: Episode | Podcast


class Words(NamedTuple):
    """The texts of pages for a kind of list."""

    title: str | Promise
    new: str | Promise
    edit: str | Promise
    made: str | Promise
    deleted: str | Promise
    exists: str | Promise


@dataclass(frozen=True, kw_only=True)
class ListKind:
    """A kind of list: playlists or collections.

    ``names``: the fields of commands that identify the member in a row; ``key``: what identifies it in forms.
    ``show``: the members with what is known about them. ``order``: the rows as the reordering command names
    them.
    """

    register: OrderedSet[Any, Any]
    reads: Lists[Any, Any]
    form: type[PlaylistForm]
    words: Words
    names: Callable[[Any], dict[str, str]]
    key: Callable[[Any], str]
    show: Callable[[UUID, Sequence[Any]], list[Member]]
    order: Callable[[Sequence[Any]], tuple[Any, ...]]

    @property
    def many(self) -> str:
        """Return the topic, which is also the name of its projector and the first part of its paths."""
        return self.reads.topic

    @property
    def commands(self) -> Commands:
        return self.register.commands

    @property
    def id(self) -> str:
        """Return the field of commands with the list's id."""
        return self.register.key.column

    @property
    def is_playlists(self) -> bool:
        return self.many == "playlists"

    @property
    def path(self) -> str:
        return f"/{self.many}"

    def all_of(self, user_id: UUID) -> list["ListSummary"]:
        """Return all lists of a listener except the queue, the default collection
        first and the others by name."""
        rows = self.reads.page(user_id, limit=MOST_LISTS).rows
        found = [listed for row in rows if not (listed := ListSummary.of(self, row)).is_queue]
        return sorted(found, key=lambda each: (not each.is_default, each.name.casefold(), each.id))

    def find(self, user_id: UUID, list_id: UUID) -> "ListSummary":
        """Return one list of a listener. Raises ``Http404``."""
        rows = self.reads.find(user_id, list_id).rows
        if not rows:
            raise Http404
        return ListSummary.of(self, rows[0])

    def find_deleted(self, user_id: UUID, list_id: UUID) -> "ListSummary | None":
        """Return a list that the listener has deleted; None if there is none."""
        known = getattr(dispatcher.state_of(user_id).user, self.many).get(str(list_id))
        if known is None or self.register.is_on(known) or not self.register.is_known(known):
            return None
        return ListSummary.of_state(self, list_id, known, 0)

    def members(self, state: State, list_id: UUID) -> list[Any]:
        """Return all members of a list in order, from the stream itself, since read models lag slightly
        behind. Only the members of the default collection come from the read model, as nothing else has them.
        """
        known = getattr(state, self.many)[str(list_id)]
        if getattr(known, "is_default", False):
            return self.reads.members(state.user_id, list_id, limit=MOST_MEMBERS).rows
        # the members that are still in the list come first
        entries: Any = getattr(self.register.to_entry(str(list_id), known), self.register.plural)
        return list(entries[: len(self.register.arranged(known))])

    def pictures(self, user_id: UUID, lists: Sequence["ListSummary"]) -> list["ListSummary"]:
        """Return the same lists with the covers of what was last added to them."""
        feeds = self.reads.latest_feeds(user_id, [each.id for each in lists], PICTURES)
        known = feeds_for(user_id, {feed for found in feeds.values() for feed in found})
        return [
            each._replace(covers=[display.named(feed, known.get(feed)) for feed in feeds[each.id]])
            for each in lists
        ]


class ListSummary(NamedTuple):
    """A list as pages show it, without its members. ``size``: the number of members. ``covers``: the podcasts
    whose covers make up its picture."""

    kind: ListKind
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
    def of(cls, kind: ListKind, row: Any) -> "ListSummary":
        """Make it from a row of the read models, whose last column is the number of members."""
        return cls.of_state(kind, row.id, row, row[-1])

    @classmethod
    def of_state(cls, kind: ListKind, list_id: UUID, state: Any, size: int) -> "ListSummary":
        """Make it from the state of its stream."""
        is_default = getattr(state, "is_default", False)
        is_queue = getattr(state, "kind", "") == "queue"
        name = name_of(state)
        color = getattr(state, "color", None) or ""
        description = state.description or ""
        header = name, description, color, state.is_public, is_default
        return cls(kind, list_id, *header, size, [], is_queue)

    @property
    def path(self) -> str:
        return f"/{self.kind.many}/{self.id}"

    @property
    def page(self) -> str:
        """Return the path of its own page; the queue has a special one."""
        return "/queue" if self.is_queue else self.path

    @property
    def hue(self) -> int:
        return int(key_of(str(self.id))[:4], 16) % display.HUES

    @property
    def initials(self) -> str:
        return humanize.initials(self.name)

    @property
    def cover(self) -> str:
        """A list has no cover of its own, only those of its members."""
        return ""

    @property
    def is_mosaic(self) -> bool:
        return len(self.covers) >= PICTURES


def name_of(state: Any) -> str:
    """Return the name of a list from its state or row. The initial names of the default collection and of the
    queue are translated; a name given by the listener stays as it is."""
    name: str = state.name
    if getattr(state, "kind", "") == "queue" and name == QUEUE_NAME:
        return _("Up next")
    return _("All podcasts") if getattr(state, "is_default", False) and name == DEFAULT_NAME else name
