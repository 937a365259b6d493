"""Read the channel of RSS or the feed of Atom: the description of the show itself. Pure."""

import re

from feeds.documents import Channel
from feeds.read import values
from feeds.read.context import Context, Element
from feeds.read.draft import (
    PODCAST,
    Collect,
    Draft,
    atom_link,
    atom_text,
    atom_title,
    collect_children,
    inside,
    link,
    rss_link,
)
from feeds.read.podcast import within

MOST_EXTRA = 64 * 1024  # bytes of JSON
MOST_CATEGORIES = 50
LONGEST_WORD = 100  # characters of a language, a category, an e-mail address
_KINDS = frozenset({"episodic", "serial"})
_PERIODS = {"hourly": 3_600, "daily": 86_400, "weekly": 604_800, "monthly": 2_592_000, "yearly": 31_536_000}
_EMAIL = re.compile(r"[^\s<>()\"@]{1,64}@[^\s<>()\"@]{1,190}")


def read_channel(elements: list[Element], context: Context) -> Channel:
    """Return the channel, from the elements whose children describe it; items among these are ignored."""
    draft = Draft(context)
    for element in elements:
        collect_children(draft, element, _COLLECTORS)
    texts = draft.texts.get
    own_url = draft.texts.get("new_feed_url", "")
    return Channel(
        title=context.title(draft.first("title", "itunes:title", "dc:title")),
        author=context.title(draft.first("itunes:author", "author", "dc:creator", "dc:author", "owner")),
        description=draft.description(),
        link=draft.first("link", "alternate"),
        cover_url=draft.first("cover", "image", "logo", "icon"),
        language=values.clean(texts("language", "")[:LONGEST_WORD]),
        copyright=context.title(draft.first("copyright", "dc:rights")),
        kind=values.one_of(texts("kind", ""), _KINDS),
        medium=_medium(draft),
        explicit=values.explicit(texts("explicit", "")),
        blocked=values.yes(texts("blocked", "")),
        complete=values.yes(texts("complete", "")),
        locked=values.yes(texts("locked", "")),
        owner_email=_email(draft.first("owner_email", "managing_editor")),
        hub_url=draft.first("hub"),
        self_url=draft.first("self"),
        new_feed_url="" if own_url == context.url else own_url,
        podcast_guid=values.uuid(texts("podcast_guid", "")),
        categories=list(draft.categories)[:MOST_CATEGORIES],
        ttl_s=_ttl(draft),
        extra=within(draft.extra, MOST_EXTRA, context) if draft.extra else {},
    )


def _medium(draft: Draft) -> str:
    word: str = draft.extra["medium"][0]["text"] if "medium" in draft.extra else ""
    return word if len(word) <= 30 and word.isascii() and word.isalpha() else ""


def _email(written: str) -> str:
    found = _EMAIL.search(written[:1_000])
    return found[0].lower() if found else ""


def _ttl(draft: Draft) -> int | None:
    """Return the longest time that the document asks for, in seconds; None for none, or for nonsense."""
    minutes = values.integer(draft.texts.get("ttl", ""))
    period = _PERIODS.get(draft.texts.get("update_period", "").lower())
    times = values.integer(draft.texts.get("update_frequency", "1"))
    asked = [minutes * 60] if minutes else []
    if period and times:
        asked.append(period // times)
    return max(asked, default=0) or None


def _category(draft: Draft, element: Element) -> None:
    name = draft.context.title(element.get("text", "").strip() or (element.text or "").strip())
    if name and len(name) <= LONGEST_WORD and len(draft.categories) < MOST_CATEGORIES:
        draft.categories[name] = None
    collect_children(draft, element, _CATEGORIES)


_CATEGORIES: dict[str, Collect] = {
    "itunes:category": _category,
    "googleplay:category": _category,
    "podcast:category": _category,
}
_COLLECTORS: dict[str, Collect] = {
    **PODCAST,
    **_CATEGORIES,
    "title": "title",
    "atom:title": atom_title,
    "itunes:title": "itunes:title",
    "dc:title": "dc:title",
    "link": rss_link,
    "atom:link": atom_link,
    "description": "description",
    "content:encoded": "content:encoded",
    "atom:subtitle": atom_text("description"),
    "atom:tagline": atom_text("description"),
    "itunes:summary": "itunes:summary",
    "dc:description": "dc:description",
    "googleplay:description": "description",
    "itunes:author": "itunes:author",
    "googleplay:author": "author",
    "atom:author": inside({"atom:name": "author", "atom:email": "managing_editor"}),
    "dc:creator": "dc:creator",
    "dc:author": "dc:author",
    "managingeditor": "managing_editor",
    "itunes:owner": inside({"itunes:email": "owner_email", "itunes:name": "owner"}),
    "googleplay:email": "owner_email",
    "itunes:image": link("cover", "href", "url"),
    "googleplay:image": link("image", "href"),
    "image": inside({"url": link("image")}),
    "atom:logo": link("logo"),
    "atom:icon": link("icon"),
    "media:thumbnail": link("image", "url"),
    "language": "language",
    "dc:language": "language",
    "copyright": "copyright",
    "atom:rights": atom_text("copyright"),
    "atom:copyright": atom_text("copyright"),
    "dc:rights": "dc:rights",
    "itunes:type": "kind",
    "itunes:explicit": "explicit",
    "googleplay:explicit": "explicit",
    "itunes:block": "blocked",
    "googleplay:block": "blocked",
    "itunes:complete": "complete",
    "itunes:new-feed-url": link("new_feed_url"),
    "podcast:locked": "locked",
    "podcast:guid": "podcast_guid",
    "ttl": "ttl",
    "sy:updateperiod": "update_period",
    "sy:updatefrequency": "update_frequency",
}
