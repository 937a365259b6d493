"""/u/{username}: what a listener shows to everybody. A listener who shows nothing cannot be told from one who
does not exist: the response is the same and takes the same work."""

from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from accounts import profiles
from accounts.models import Profile, User
from eventstore import dispatcher
from eventstore.dispatcher import StreamErased
from eventstore.domain import collections, playlists
from eventstore.domain.ordered import OrderedSet
from feeds.queries import public_feeds
from projections import profiles as public
from projections.profiles import PublicList
from projections.public import fence
from projections.queries import Behind
from web import activity_texts
from web.activity_texts import ActivityLine
from web.display import HUES, Podcast
from web.humanize import initials
from web.public import for_everybody

PODCASTS: Final = 24
ACTS: Final = 20
FOLLOWERS: Final = 12
REGISTERS: Final[dict[str, OrderedSet[Any, Any]]] = {
    "playlists": playlists.REGISTER,
    "collections": collections.REGISTER,
}
# the user id whose rows are read if the username does not exist
NOBODY: Final = UUID(int=0)
REVALIDATED: Final = "private, no-cache"


class Person(NamedTuple):
    """A listener as others see him; ``avatar`` is the file name of his picture, or ""."""

    username: str
    name: str
    avatar: str = ""

    @property
    def path(self) -> str:
        return f"/u/{quote(self.username)}"

    @property
    def cover(self) -> str:
        return f"/avatars/{self.avatar}/300.webp" if self.avatar else ""

    @property
    def hue(self) -> int:
        return sum(self.username.encode()) % HUES

    @property
    def initials(self) -> str:
        return initials(self.name)


class Link(NamedTuple):
    address: str
    label: str


class PublicPage(NamedTuple):
    """Everything that everybody may see of a listener; ``following``: the cursors of the next
    podcasts and of the next acts."""

    profile: Profile | None
    podcasts: list[Podcast]
    lines: list[ActivityLine]
    lists: list[PublicList]
    following: tuple[str | None, str | None]

    def is_empty(self) -> bool:
        return not (self.profile or self.podcasts or self.lines or self.lists)


@require_safe
@for_everybody
def person(request: HttpRequest, username: str) -> HttpResponse:
    """Show the page; ``podcasts`` and ``acts`` are the cursors of its lists."""
    user = _user(username)
    try:
        found = _shown(user, request.GET.get("podcasts"), request.GET.get("acts"))
    except Behind:
        return render(request, "503.html", status=503)
    if user is None or found.is_empty():
        raise Http404
    return render(request, "web/people/person.html", _context(request, user, found))


@require_safe
def avatar(request: HttpRequest, name: str, size: int) -> HttpResponse:
    """Serve the picture of a public profile, or of the reader's own. Each request checks again
    whether it may still be seen."""
    reader = request.user.pk if isinstance(request.user, User) else None
    data = profiles.picture(name, size, reader)
    if data is None:
        raise Http404
    return HttpResponse(data, content_type="image/webp", headers={"Cache-Control": REVALIDATED})


def has_page(user: User) -> bool:
    """Whether there is anything of a listener for others to see; False while the read
    models lag too far behind to tell."""
    if profiles.published(user.pk):
        return True
    try:
        return not _shown(user, None, None).is_empty()
    except Behind:
        return False


def followers(feed: str) -> list[Person]:
    """Return listeners who publicly follow a podcast, at most ``FOLLOWERS``; nobody while the read
    models lag too far behind to tell."""
    try:
        rows = public.followers_of(feed, FOLLOWERS)
    except Behind:
        return []
    found = profiles.people(row.user_id for row in rows)
    return [shown_as(found[row.user_id]) for row in rows if row.user_id in found]


def shown_as(found: profiles.Person) -> Person:
    return Person(found.username, found.name, found.avatar)


def _user(username: str) -> User | None:
    try:
        user = User.objects.get_by_natural_key(username)
    except User.DoesNotExist:
        return None
    return user if user.is_active else None


def _shown(user: User | None, podcasts: str | None, done: str | None) -> PublicPage:
    """Return what is public of a listener, with the same queries whoever it is. Raises
    ``InvalidCursor`` and ``Behind``."""
    user_id = user.pk if user else NOBODY
    read = fence()
    follows = public.podcasts_of(user_id, PODCASTS, podcasts, read=read)
    rows = public.acts_of(user_id, ACTS, done, read=read)
    lists = _still_public(user_id, public.lists_of(user_id))
    profile = profiles.published(user_id)
    names = {*(row.rss_source_feed for row in follows.rows), *(row.rss_source_feed for row in rows.rows)}
    known = activity_texts.titles(
        rows.rows, {name: feed for name, feed in public_feeds(names).items() if feed.title}
    )
    who = profiles.person(user, profile).name if user else ""
    return PublicPage(
        profile,
        [known.podcast(row.rss_source_feed) for row in follows.rows if row.rss_source_feed in known.feeds],
        [
            activity_texts.line(row, who, known)
            for row in rows.rows
            if row.rss_source_feed in known.feeds and not known.is_blocked(row)
        ],
        lists,
        (follows.next, rows.next),
    )


def _still_public(user_id: UUID, lists: list[PublicList]) -> list[PublicList]:
    """Leave out lists that were hidden or deleted a moment ago, which the read models may not reflect yet."""
    if not lists:
        return []
    try:
        stream = dispatcher.state_of(user_id)
    except StreamErased:
        return []
    stream.fetch({kind: tuple(str(row.id) for row in lists if row.kind == kind) for kind in REGISTERS})
    known = [(row, getattr(stream.user, row.kind).get(str(row.id))) for row in lists]
    return [row for row, of in known if of is not None and REGISTERS[row.kind].is_on(of) and of.is_public]


def _context(request: HttpRequest, user: User, found: PublicPage) -> dict[str, Any]:
    who = shown_as(profiles.person(user, found.profile))
    after_podcasts, after_acts = found.following
    profile = found.profile
    return {
        "person": who,
        "shown": found,
        "bio": profile.bio if profile else "",
        "links": [Link(address, _label(address)) for address in profile.links] if profile else [],
        "address": f"{settings.PUBLIC_URL}{who.path}",
        "picture": f"{settings.PUBLIC_URL}{who.cover}" if who.cover else "",
        "more_podcasts": f"{who.path}?podcasts={after_podcasts}" if after_podcasts else "",
        "more_acts": f"{who.path}?acts={after_acts}" if after_acts else "",
        "is_own": request.user == user,
    }


def _label(address: str) -> str:
    """Return the address of a link without the parts that most links have in common."""
    parts = urlsplit(address)
    return f"{parts.netloc.removeprefix('www.')}{parts.path.rstrip('/')}"


paths = [
    path("u/<str:username>", person, name="person"),
    path("avatars/<slug:name>/<int:size>.webp", avatar),
]
