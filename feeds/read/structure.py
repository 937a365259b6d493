"""Find the items and the channel in a document's tree of elements. Pure."""

from feeds.read.context import Context, Element

_PARENTS = dict.fromkeys(("channel", "rss", "rdf:rdf", "atom:feed", "items"), True)
_LIVE = {"podcast:liveitem": True}
_ITEMS = frozenset({"item", "entry", "liveItem", "podcast:liveItem"})


class Structure:
    """The structure of one document. ``items``: how many of its items were found."""

    def __init__(self, context: Context) -> None:
        self.items = 0
        self._context = context

    def is_parent(self, element: Element) -> bool:
        """Whether items may be the children of an element."""
        return bool(self._context.by_tag(_PARENTS)[element.tag])

    def find_item(self, element: Element, parent: Element | None) -> bool:
        """Return whether an element, which is complete, is an item; if so, it is counted."""
        local = element.tag.rpartition("}")[2]
        if local not in _ITEMS:
            return False
        if not self.items and local in ("item", "entry"):
            self._context.adopt(element)
        if parent is None or not self.is_parent(parent):
            return False
        # a live item stays with its channel until it has ended
        if self._context.by_tag(_LIVE)[element.tag] and not is_over(element, self._context):
            return False
        self.items += 1
        return True

    def described_by(self, root: Element) -> list[Element]:
        """Return the elements whose children describe the show: its channels, if any, and the root."""
        if not self.items:
            self._context.adopt(root)
        return [*(child for child in root if self._context.name(child) == "channel"), root]


def is_over(live_item: Element, context: Context) -> bool:
    """Whether a live item has become an episode: it has ended, and has an enclosure."""
    has_ended = live_item.get("status", "").strip().lower() == "ended"
    return has_ended and any(context.name(child) == "enclosure" for child in live_item)
