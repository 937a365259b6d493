"""Read one item of RSS, or one entry of Atom, as an episode. Pure."""

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
    atom_text,
    atom_title,
    best_of,
    chapters,
    collect_children,
    enclosure,
    inside,
    link,
    rss_link,
)
from feeds.read.podcast import within

MOST_EXTRA = 32 * 1024  # bytes of JSON
LONGEST_GUID = 2_048  # bytes
_KINDS = frozenset({"full", "trailer", "bonus"})


def read_item(element: Element, context: Context) -> Episode | None:
    """Return the episode; None for an item with neither a GUID nor an enclosure, which nothing identifies."""
    draft = Draft(context)
    collect_children(draft, element, _COLLECTORS)
    get = draft.texts.get
    file = best_of(draft.enclosures)
    guid = guid_of(get("guid", ""), context)
    if not guid and not file.url:
        context.warn("items_without_name")
        return None
    return Episode(
        guid=guid,
        enclosure_url=file.url,
        enclosure_type=file.type,
        enclosure_length=file.length,
        title=context.title(get("title") or get("itunes:title") or get("dc:title", "")),
        link=get("link") or get("alternate") or get("permalink", ""),
        description=draft.description(),
        published_at=values.date(get("date", ""))
        or values.date(get("dc:date", ""))
        or values.date(get("updated", "")),
        duration=values.duration(get("duration", "")),
        image_url=get("image") or get("media:thumbnail") or get("media:picture", ""),
        season=_number(draft, "season", "season"),
        number=_number(draft, "number", "episode"),
        kind=values.one_of(get("kind", ""), _KINDS),
        explicit=values.explicit(get("explicit", "")),
        blocked=values.yes(get("blocked", "")),
        extra=within(draft.extra, MOST_EXTRA, context) if draft.extra else {},
    )


def guid_of(written: str, context: Context) -> str:
    """Return a GUID with its white space normalised; its digest where it is too long."""
    guid = values.guid(written)
    if len(guid) * 4 <= LONGEST_GUID or len(guid.encode()) <= LONGEST_GUID:
        return guid
    context.warn("guid_too_long")
    return key_of(guid)


def _number(draft: Draft, name: str, tag: str) -> int | None:
    """Return the number from iTunes, or else from podcast:season or podcast:episode if it is whole."""
    number = values.integer(draft.texts[name]) if name in draft.texts else None
    if number is None and tag in draft.extra:
        return values.integer(draft.extra[tag][0].get("text", ""))
    return number


def _guid(draft: Draft, element: Element) -> None:
    if "guid" in draft.texts or not (found := (element.text or "").strip()):
        return
    draft.texts["guid"] = found
    if found.startswith("http") and element.get("isPermaLink", "true").lower() == "true":
        draft.keep("permalink", draft.context.link(found, element))


_COLLECTORS: dict[str, Collect] = {
    "guid": _guid,
    "atom:id": "guid",
    "title": "title",
    "atom:title": atom_title,
    "itunes:title": "itunes:title",
    "dc:title": "dc:title",
    "link": rss_link,
    "atom:link": atom_link,
    "pubdate": "date",
    "atom:published": "date",
    "atom:issued": "date",
    "dc:date": "dc:date",
    "atom:updated": "updated",
    "atom:modified": "updated",
    "description": "description",
    "content:encoded": "content:encoded",
    "xhtml:body": "xhtml:body",
    "atom:content": atom_text("atom:content"),
    "atom:summary": atom_text("atom:summary"),
    "itunes:summary": "itunes:summary",
    "dc:description": "dc:description",
    "googleplay:description": "description",
    "enclosure": enclosure,
    "itunes:duration": "duration",
    "itunes:image": link("image", "href", "url"),
    "googleplay:image": link("image", "href"),
    "image": inside({"url": link("image")}),
    "itunes:season": "season",
    "itunes:episode": "number",
    "itunes:episodetype": "kind",
    "itunes:explicit": "explicit",
    "googleplay:explicit": "explicit",
    "itunes:block": "blocked",
    "googleplay:block": "blocked",
    "psc:chapters": chapters,
    **MEDIA,
    **PODCAST,
}
