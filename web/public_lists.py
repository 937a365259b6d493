"""/u/{username}/playlists/{id}, /u/{username}/collections/{id}: what everybody sees of a public list.

This is read from the stream itself, because read models lag slightly behind: what a listener hides is gone
with the next request. A list that is not public gets the same answer as one that never existed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from accounts import profiles
from accounts.models import User
from eventstore import dispatcher
from eventstore.dispatcher import StreamErased
from eventstore.domain.identifiers import episode_key, feed_key_of
from eventstore.streams import Stream
from projections.public_lists import shown_in_lists
from web import collections, people, playlists
from web.addresses import is_web
from web.display import Episode, Podcast
from web.lists import PICTURES, ListKind, ListSummary
from web.paging import cut
from web.public import for_everybody, known_of

PAGE = 60
# as many as a feed of the list has; further members of a longer list are ignored
MOST = 500


class Name(NamedTuple):
    """A feed, or an episode of it."""

    rss_source_feed: str
    rss_source_item: str | None = None

    @property
    def key(self) -> str:
        feed, item = self
        return feed_key_of(feed) if item is None else episode_key(feed, item)


class PublicMember(NamedTuple):
    """A member of a public list. ``address``: where somebody without an account finds it: the file of an
    episode, or the feed of a podcast."""

    key: str
    shown: Episode | Podcast
    address: str


@require_safe
@for_everybody
def public_list(request: HttpRequest, username: str, kind: ListKind, list_id: UUID) -> HttpResponse:
    """Show a public list; ``after`` is the key of the last member on the previous page."""
    owner = _owner(username)
    stream = _stream(owner)
    known = getattr(stream.user, kind.many).get(str(list_id)) if stream else None
    if stream is None or known is None or not kind.register.is_on(known) or not known.is_public:
        raise Http404
    members = list(_members(shown_in_lists(stream, _names(stream, kind, known))))
    page, following = cut(members, lambda each: each.key, request.GET.get("after", ""), PAGE)
    listed = ListSummary.of_state(kind, list_id, known, len(members))
    person = people.shown_as(profiles.person(owner, profiles.published(owner.pk)))
    address = f"{person.path}{listed.path}"
    context = {
        "kind": kind,
        "list": listed._replace(covers=_covers(members)),
        "owner": person,
        "address": f"{settings.PUBLIC_URL}{address}",
        "members": page,
        "following": f"{address}?after={following}" if following else "",
        "first": address if request.GET.get("after") else "",
    }
    return render(request, "web/lists/public.html", context)


def _owner(username: str) -> User:
    try:
        user = User.objects.get_by_natural_key(username)
    except User.DoesNotExist:
        raise Http404 from None
    if not user.is_active or user.erasing_since is not None:
        raise Http404
    return user


def _stream(owner: User) -> Stream | None:
    try:
        return dispatcher.state_of(owner.pk)
    except StreamErased:
        return None


def _names(stream: Stream, kind: ListKind, known: Any) -> list[Name]:
    """Return the members of a list, in order."""
    if kind.is_playlists:
        members = [known.members[key] for key in kind.register.arranged(known)[:MOST]]
        return [Name(of.feed, of.item) for of in members]
    if not known.is_default:
        return [Name(feed) for feed in kind.register.arranged(known)[:MOST]]
    followed = {feed: of for feed, of in stream.user.subscriptions.items() if of.active}
    first = [feed for feed in known.order if feed in followed]
    since = sorted(followed.keys() - set(first), key=lambda feed: (followed[feed].subscribed_at, feed))
    return [Name(feed) for feed in [*first, *since][:MOST]]


def _members(names: list[Name]) -> Iterator[PublicMember]:
    """Yield the members that are known from a feed which everybody may read."""
    known = known_of(names)
    for name in names:
        podcast, episode = known.podcast(name), known.episode(name)
        if name.rss_source_item is None and podcast is not None:
            yield PublicMember(name.key, podcast, known.feeds[podcast.feed].url)
        elif episode is not None:
            address = known.episodes[episode.feed, episode.item].enclosure_url
            yield PublicMember(name.key, episode, address if is_web(address) else "")


def _covers(members: list[PublicMember]) -> list[Podcast]:
    """Return the podcasts of the first members, for the list's picture."""
    podcasts: dict[str, Podcast] = {}
    for member in members:
        of = member.shown
        podcast = of if isinstance(of, Podcast) else Podcast(of.feed, of.podcast, cover=of.cover)
        podcasts.setdefault(of.feed, podcast)
    return list(podcasts.values())[:PICTURES]


paths = [
    path(f"u/<str:username>/{kind.many}/<uuid:list_id>", public_list, {"kind": kind})
    for kind in (playlists.KIND, collections.KIND)
]
