"""Which tags of the podcast namespace, and of simple chapters, are kept and given out again.

``Feed.extra`` and ``Episode.extra`` have a list under the name of each tag: an occurrence is a dict of its
attributes, ``text`` is what stands in it, and under the name of a child are all children of that name.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Tag(Struct, frozen=True):
    """The attributes and children that are known of it. ``name``: where it is not that of the list."""

    attributes: tuple[str, ...] = ()
    children: Mapping[str, "Tag"] = {}
    is_psc: bool = False
    name: str = ""


def _tag(attributes: str = "", **children: Tag) -> Tag:
    return Tag(tuple(attributes.split()), children)


PERSON: Final = _tag("role group img href")
LICENSE: Final = _tag("url")
RECIPIENT: Final = _tag("name type address split fee customKey customValue")
VALUE: Final = _tag("type method suggested", valueRecipient=RECIPIENT)
OF_CHANNELS: Final = {
    "funding": _tag("url"),
    "person": PERSON,
    "value": VALUE,
    "location": _tag("rel geo osm country"),
    "license": LICENSE,
    "txt": _tag("purpose"),
}
OF_EPISODES: Final = {
    "transcript": _tag("url type language rel"),
    "chapters": _tag("url type"),
    "person": PERSON,
    "pscChapters": Tag(
        ("version",), {"chapter": _tag("start title href image")}, is_psc=True, name="chapters"
    ),
    "season": _tag("name"),
    "episode": _tag("display"),
    "soundbite": _tag("startTime duration"),
    "alternateEnclosure": _tag(
        "type length bitrate height lang title rel codecs default",
        source=_tag("uri contentType"),
        integrity=_tag("type value"),
    ),
    "value": VALUE,
    "socialInteract": _tag("protocol uri accountId accountUrl priority"),
    "license": LICENSE,
}
