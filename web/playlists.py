"""/playlists: episodes in an order, and putting an episode into some of them."""

from collections.abc import Sequence
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.pages import read_or_post
from eventstore.domain import playlists
from eventstore.domain.identifiers import episode_key
from eventstore.domain.naming import EpisodeName
from eventstore.domain.plays import PlayEntry
from feeds.queries import EpisodeShown, FeedShown, episodes_of, feeds_for
from projections import queries
from projections.lists import PLAYLISTS, PlaylistItemRow
from web import humanize, list_membership, visible_feeds
from web.addresses import asked_feed, in_path
from web.display import Episode
from web.list_forms import PlaylistForm
from web.list_membership import MembershipForm
from web.lists import ListKind, Member, Words
from web.read_your_writes import caught_up
from web.shortcuts import for_listeners

# the same limit as in the API
LONGEST_TITLE = 1_000


def show(user_id: UUID, rows: Sequence[PlaylistItemRow]) -> list[Member]:
    """Return the episodes of a listener's own playlist, with what is known about them
    and how far they were heard."""
    names = [(row.rss_source_feed, row.rss_source_item) for row in rows]
    known = feeds_for(user_id, {feed for feed, _ in names})
    found = episodes_of(names, known)
    plays = queries.play_statuses_of(user_id, names)
    return [
        Member(episode_key(*name), episode_of(row, known.get(name[0]), found.get(name), plays.get(name)))
        for row, name in zip(rows, names, strict=True)
    ]


def episode_of(
    row: PlaylistItemRow, feed: FeedShown | None, found: EpisodeShown | None, play: PlayEntry | None
) -> Episode:
    """Return an episode described by its feed, or else by the app that added it."""
    pictured = feed.cover if feed and feed.cover_url else None
    return Episode(
        row.rss_source_feed,
        row.rss_source_item,
        (found.title if found else "") or row.item_title or humanize.episode_name(row.rss_source_item),
        (feed.title if feed else "") or row.feed_title or humanize.host_of(row.rss_source_feed),
        (found.cover if found else None) or pictured or "",
        found.published_at if found else None,
        found.duration if found else None,
        play.position if play else 0,
        bool(play and play.played),
        play.updated_at if play else None,
    )


KIND = ListKind(
    register=playlists.REGISTER,
    reads=PLAYLISTS,
    form=PlaylistForm,
    words=Words(
        title=_("Playlists"),
        new=_("New playlist"),
        edit=_("Edit the playlist"),
        made=_("%(list)s is ready."),
        deleted=_("%(list)s is deleted."),
        exists=_("You have a playlist made by this form already."),
    ),
    names=lambda row: {"feed": row.rss_source_feed, "item": row.rss_source_item},
    key=lambda row: episode_key(row.rss_source_feed, row.rss_source_item),
    show=show,
    order=lambda rows: tuple(EpisodeName(row.rss_source_feed, row.rss_source_item) for row in rows),
)


@read_or_post
@for_listeners
def choose(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Choose the playlists that contain an episode, or create a new one for it."""
    feed = asked_feed(request)
    with caught_up(request, "playlists", "plays"):
        known = visible_feeds.known_feeds(user.pk, feed)
        found = episodes_of([(feed, item)], known).get((feed, item))
        play = queries.play_statuses_of(user.pk, [(feed, item)]).get((feed, item))
        holding = PLAYLISTS.containing(user.pk, episode_key(feed, item))
        if found is None and play is None and not holding:
            raise Http404
        lists = KIND.all_of(user.pk)
    title, feed_title = found.title if found else "", known[feed].title if feed in known else ""
    choice = MembershipForm(
        KIND,
        lists,
        holding,
        {"feed": feed, "item": item},
        {"item_title": title[:LONGEST_TITLE] or None, "feed_title": feed_title[:LONGEST_TITLE] or None},
        title or humanize.episode_name(item),
        f"/episodes/{in_path(item)}?feed={in_path(feed)}",
        f"/episodes/{in_path(item)}/playlists?feed={in_path(feed)}",
    )
    return list_membership.answer(request, user, choice)
