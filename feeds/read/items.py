"""One item of RSS, one entry of Atom, as an episode. Pure."""

from datetime import datetime

from eventstore.domain.identifiers import key_of
from feeds.documents import Episode
from feeds.read import values
from feeds.read.context import Context, Element
from feeds.read.draft import (
    MEDIA,
    PODCAST,
    Collect,
    Draft,
    atom_link,
    chapters,
    collect_children,
    description,
    enclosure,
    inside,
    link,
    rss_link,
    text,
    title,
)
from feeds.read.podcast import within

MOST_EXTRA = 32 * 1024  # bytes of JSON
LONGEST_GUID = 2_048  # bytes
_KINDS = frozenset({"full", "trailer", "bonus"})


def read_item(element: Element, context: Context) -> Episode | None:
    """The episode; None for an item that has neither a GUID nor an enclosure, which nothing can name."""
    draft = Draft(context)
    collect_children(draft, element, _COLLECTORS)
    file = draft.enclosure()
    guid = guid_of(draft.first("guid"), context)
    if not guid and not file.url:
        context.warn("items_without_name")
        return None
    texts = draft.texts.get
    return Episode(
        guid=guid,
        enclosure_url=file.url,
        enclosure_type=file.type,
        enclosure_length=file.length,
        title=context.title(draft.first("title", "itunes:title")),
        link=draft.first("link", "alternate", "permalink"),
        description=draft.description(),
        published_at=_published(draft),
        duration=values.duration(texts("duration", "")),
        image_url=draft.first("image", "media:thumbnail", "media:picture"),
        season=values.integer(texts("season", "")) or _number_in(draft, "season"),
        number=values.integer(texts("number", "")) or _number_in(draft, "episode"),
        kind=values.one_of(texts("kind", ""), _KINDS),
        explicit=values.explicit(texts("explicit", "")),
        blocked=values.yes(texts("blocked", "")),
        extra=within(draft.extra, MOST_EXTRA, context) if draft.extra else {},
    )


def guid_of(written: str, context: Context) -> str:
    """A GUID as it is written but for its white space; its digest where it is over-long."""
    guid = values.guid(written)
    if len(guid) * 4 <= LONGEST_GUID or len(guid.encode()) <= LONGEST_GUID:
        return guid
    context.warn("guid_too_long")
    return key_of(guid)


def _published(draft: Draft) -> datetime | None:
    dates = (values.date(draft.texts[name]) for name in ("date", "dc:date", "updated") if name in draft.texts)
    return next((moment for moment in dates if moment), None)


def _number_in(draft: Draft, name: str) -> int | None:
    """The number of podcast:season or podcast:episode, where it is a whole one."""
    return values.integer(draft.extra[name][0].get("text", "")) if name in draft.extra else None


def _guid(draft: Draft, element: Element) -> None:
    if "guid" in draft.texts or not (found := (element.text or "").strip()):
        return
    draft.texts["guid"] = found
    if found.startswith("http") and element.get("isPermaLink", "true").lower() == "true":
        draft.keep("permalink", draft.context.link(found, element))


_COLLECTORS: dict[str, Collect] = {
    "guid": _guid,
    "atom:id": text("guid"),
    "title": title("title"),
    "atom:title": title("title"),
    "itunes:title": title("itunes:title"),
    "link": rss_link,
    "atom:link": atom_link,
    "pubdate": text("date"),
    "atom:published": text("date"),
    "atom:issued": text("date"),
    "dc:date": text("dc:date"),
    "atom:updated": text("updated"),
    "atom:modified": text("updated"),
    "description": description,
    "content:encoded": description,
    "atom:content": description,
    "atom:summary": description,
    "itunes:summary": description,
    "googleplay:description": description,
    "enclosure": enclosure,
    "itunes:duration": text("duration"),
    "itunes:image": link("image", "href"),
    "googleplay:image": link("image", "href"),
    "image": inside({"url": link("image")}),
    "itunes:season": text("season"),
    "itunes:episode": text("number"),
    "itunes:episodetype": text("kind"),
    "itunes:explicit": text("explicit"),
    "googleplay:explicit": text("explicit"),
    "itunes:block": text("blocked"),
    "googleplay:block": text("blocked"),
    "psc:chapters": chapters,
    **MEDIA,
    **PODCAST,
}
