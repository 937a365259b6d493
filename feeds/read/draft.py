"""Collect what a channel or an item contains, element by element, before it is made into a value. Pure."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from feeds.read import values
from feeds.read.context import Context, Element, plain_text_of
from feeds.read.podcast import CHAPTERS, TAGS, Tag, read_tag

MOST_CHAPTERS = 500
DESCRIPTIONS = (
    *("content:encoded", "atom:content", "description", "xhtml:body"),
    *("atom:summary", "itunes:summary", "dc:description"),
)


class Enclosure(NamedTuple):
    url: str
    type: str
    length: int


def best_of(enclosures: list[Enclosure]) -> Enclosure:
    """Return the first audio file, or else the first video, or else the first file."""
    for kind in ("audio/", "video/", ""):
        for enclosure in enclosures:
            if enclosure.type.startswith(kind):
                return enclosure
    return NO_ENCLOSURE


NO_ENCLOSURE = Enclosure("", "", -1)


class Draft:
    """What was collected. ``texts``: the first non-empty text for each name; ``extra``: lists of elements
    that may be repeated."""

    __slots__ = ("categories", "context", "enclosures", "extra", "texts")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.texts: dict[str, str] = {}
        self.enclosures: list[Enclosure] = []
        self.categories: dict[str, None] = {}
        self.extra: dict[str, Any] = {}

    def keep(self, name: str, text: str) -> None:
        if text and name not in self.texts:
            self.texts[name] = text

    def first(self, *names: str) -> str:
        for name in names:
            if name in self.texts:
                return self.texts[name]
        return ""

    def description(self) -> str:
        """Return the longest of the given descriptions, as the richest."""
        richest = ""
        for name in DESCRIPTIONS:
            if name in self.texts and len(self.texts[name]) > len(richest):
                richest = self.texts[name]
        return self.context.description(richest)


# How an element is handled: its text is kept under a name, it is added to ``extra``, or a function reads it.
Collect: TypeAlias = str | Tag | Callable[[Draft, Element], None]


def atom_title(draft: Draft, element: Element) -> None:
    """Keep the title of Atom without markup: a title declared as HTML is converted to plain text."""
    is_html = element.get("type") == "html"
    if _is_text(element):
        draft.keep(
            "title",
            values.text_of_html(draft.context.text_of(element)) if is_html else plain_text_of(element),
        )


def link(name: str, *attributes: str) -> Collect:
    """Keep a URL under a name, from one of the attributes or the text."""

    def collect(draft: Draft, element: Element) -> None:
        if name in draft.texts:
            return
        for attribute in attributes:
            if found := element.get(attribute):
                break
        else:
            found = element.text
        draft.keep(name, draft.context.link(found, element))

    return collect


def inside(collectors: dict[str, Collect]) -> Collect:
    """Read the children of an element."""

    def collect(draft: Draft, element: Element) -> None:
        collect_children(draft, element, collectors)

    return collect


def collect_children(draft: Draft, element: Element, collectors: dict[str, Collect]) -> None:
    context = draft.context
    by_tag = context.by_tag(collectors)
    texts = draft.texts
    for child in element:
        collect = by_tag[child.tag]
        if isinstance(collect, str):
            text = context.text_of(child) if len(child) else child.text
            if text and collect not in texts and (text := text.strip()):
                texts[collect] = text
        elif isinstance(collect, Tag):
            branch = read_tag(child, collect, context)
            if branch is not None:
                draft.extra.setdefault(collect.name, []).append(branch)
        elif collect is not None:
            collect(draft, child)


def atom_text(name: str) -> Collect:
    """Keep a text of Atom under a name, HTML or plain; other types are left out, as they are in base64."""

    def collect(draft: Draft, element: Element) -> None:
        if _is_text(element):
            draft.keep(name, draft.context.text_of(element).strip())

    return collect


def enclosure(draft: Draft, element: Element) -> None:
    _add_enclosure(draft, element, element.get("url"), element.get("length"))


def rss_link(draft: Draft, element: Element) -> None:
    """Keep the address in the text, or else the link's attributes as in Atom."""
    if (text := element.text) and not text.isspace():
        draft.keep("link", draft.context.link(text, element))
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
    """Keep Podlove Simple Chapters whose start is a valid time."""
    found = read_tag(element, CHAPTERS, draft.context)
    listed = [one for one in found["chapter"] if values.play_time(one["start"]) is not None] if found else []
    if len(listed) > MOST_CHAPTERS:
        draft.context.warn("chapters_cut")
    if listed:
        draft.extra.setdefault(CHAPTERS.name, []).append(
            {"version": "1.2", "chapter": listed[:MOST_CHAPTERS]}
        )


def _is_text(element: Element) -> bool:
    kind = element.get("type", "")
    return "/" not in kind or kind.startswith("text/") or kind.endswith("xml")


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
PODCAST: dict[str, Collect] = {**TAGS}
