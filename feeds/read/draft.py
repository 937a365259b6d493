"""What is found in a channel or an item, element by element, before it is made into a value. Pure."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from feeds.read import values
from feeds.read.context import Context, Element, plain_text_of, text_of
from feeds.read.podcast import TAGS, Tag, read_tag

MOST_CHAPTERS = 500


class Enclosure(NamedTuple):
    url: str
    type: str
    length: int

    @property
    def rank(self) -> int:
        """The first audio is the one, else the first video, else the first."""
        return 0 if self.type.startswith("audio/") else 1 if self.type.startswith("video/") else 2


class Draft:
    """``texts`` has the first text of each name that is not empty; ``extra`` lists of what may come often."""

    __slots__ = ("categories", "context", "descriptions", "enclosures", "extra", "texts")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.texts: dict[str, str] = {}
        self.descriptions: list[str] = []
        self.enclosures: list[Enclosure] = []
        self.categories: dict[str, None] = {}
        self.extra: dict[str, Any] = {}

    def keep(self, name: str, text: str) -> None:
        if text and name not in self.texts:
            self.texts[name] = text

    def first(self, *names: str) -> str:
        return next((self.texts[name] for name in names if name in self.texts), "")

    def description(self) -> str:
        """The richest: the longest of all that were given."""
        return self.context.description(max(self.descriptions, key=len)) if self.descriptions else ""

    def enclosure(self) -> Enclosure:
        return min(self.enclosures, key=lambda one: one.rank) if self.enclosures else Enclosure("", "", -1)


Collect: TypeAlias = Callable[[Draft, Element], None]


def text(name: str) -> Collect:
    """Keep the text of an element, markup and all, under a name."""

    def collect(draft: Draft, element: Element) -> None:
        if name not in draft.texts and (found := text_of(element)):
            draft.texts[name] = found

    return collect


def title(name: str) -> Collect:
    """The same of a title: without markup, and what Atom says is HTML as the text that it means."""

    def collect(draft: Draft, element: Element) -> None:
        if name not in draft.texts:
            html = element.get("type") == "html"
            draft.keep(name, values.text_of_html(text_of(element)) if html else plain_text_of(element))

    return collect


def link(name: str, attribute: str = "") -> Collect:
    """Keep a URL, in an attribute or in the text, under a name."""

    def collect(draft: Draft, element: Element) -> None:
        if name not in draft.texts:
            found = element.get(attribute) if attribute else element.text
            draft.keep(name, draft.context.link(found, element))

    return collect


def inside(collectors: dict[str, Collect]) -> Collect:
    """Look at the children of an element."""

    def collect(draft: Draft, element: Element) -> None:
        collect_children(draft, element, collectors)

    return collect


def collect_children(draft: Draft, element: Element, collectors: dict[str, Collect]) -> None:
    name_of = draft.context.name
    for child in element:
        collect = collectors.get(name_of(child))
        if collect is not None:
            collect(draft, child)


def podcast_tag(tag: Tag) -> Collect:
    def collect(draft: Draft, element: Element) -> None:
        branch = read_tag(element, tag, draft.context)
        if branch is not None:
            draft.extra.setdefault(tag.name, []).append(branch)

    return collect


def description(draft: Draft, element: Element) -> None:
    kind = element.get("type", "")
    if "/" in kind and not kind.startswith("text/") and not kind.endswith("xml"):
        return  # Atom's content in base64
    if found := text_of(element):
        draft.descriptions.append(found)


def enclosure(draft: Draft, element: Element) -> None:
    _add_enclosure(draft, element, element.get("url"), element.get("length"))


def rss_link(draft: Draft, element: Element) -> None:
    """The address is the text; where there is none it may be a link as Atom has it."""
    if element.text and element.text.strip():
        draft.keep("link", draft.context.link(element.text, element))
    else:
        atom_link(draft, element)


def atom_link(draft: Draft, element: Element) -> None:
    relation = element.get("rel", "alternate").strip().lower()
    if relation == "enclosure":
        _add_enclosure(draft, element, element.get("href"), element.get("length"))
    elif relation in ("alternate", "hub", "self"):
        draft.keep(relation, draft.context.link(element.get("href"), element))


def media_content(draft: Draft, element: Element) -> None:
    kind, medium = element.get("type", ""), element.get("medium", "")
    if medium == "image" or kind.startswith("image/"):
        draft.keep("media:picture", draft.context.link(element.get("url"), element))
    else:
        declared = kind or (f"{medium}/*" if medium in ("audio", "video") else "")
        _add_enclosure(draft, element, element.get("url"), element.get("fileSize"), declared)
    collect_children(draft, element, MEDIA)


def chapters(draft: Draft, element: Element) -> None:
    """Podlove Simple Chapters: seconds, title, link and image of each."""
    for child in element:
        if (
            draft.context.name(child) != "psc:chapter"
            or (start := values.play_time(child.get("start", ""))) is None
        ):
            continue
        found = draft.extra.setdefault("psc", [])
        if len(found) == MOST_CHAPTERS:
            draft.context.warn("chapters_cut")
            return
        chapter = {"start": start, "title": draft.context.title(child.get("title", "").strip())}
        for name in ("href", "image"):
            if url := draft.context.link(child.get(name), child):
                chapter[name] = url
        found.append(chapter)


def _add_enclosure(
    draft: Draft, element: Element, url: str | None, length: str | None, declared: str | None = None
) -> None:
    found = draft.context.link(url, element)
    if not found:
        draft.context.warn("enclosure_refused")
    else:
        kind = values.media_type(declared or element.get("type") or "", found)
        size = values.integer(length or "", 2**53)
        draft.enclosures.append(Enclosure(found, kind, -1 if size is None else size))


MEDIA: dict[str, Collect] = {
    "media:content": media_content,
    "media:thumbnail": link("media:thumbnail", "url"),
}
MEDIA["media:group"] = inside(MEDIA)
PODCAST: dict[str, Collect] = {name: podcast_tag(tag) for name, tag in TAGS.items()}
