"""Turns times in the notes of an episode into links that play from there."""

import re
from collections.abc import Iterator
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

# the tags in the output of ``feeds.html.safe_html``, which leaves no other "<"
_TAG: Final = re.compile(r'(<(?:"[^"]*"|[^">])*>)')
_TIME: Final = re.compile(r"(?<![\w:./])(?:(\d{1,2}):)?(\d{1,2}):([0-5]\d)(?!\w|[:/]\d)")
MOST: Final = 300


def with_places(notes: str, path: str, duration: int | None) -> SafeString:
    """Return ``notes``, which come from ``safe_html``, with times such as ``12:07`` and ``1:02:03`` linked to
    that position in the episode at ``path``, unless they are inside a link or past the end of the episode."""
    places = _Places(path, duration)
    return mark_safe("".join(places.marked(notes)))  # noqa: S308 - of safe_html and format_html


class _Places:
    def __init__(self, path: str, duration: int | None) -> None:
        self.path, self.duration, self.left = path, duration, MOST

    def marked(self, notes: str) -> Iterator[str]:
        """Yield the pieces of the notes in order."""
        is_in_link = False
        for place, piece in enumerate(_TAG.split(notes)):
            if place % 2:  # a tag
                is_in_link = piece.startswith("<a ") or (is_in_link and piece != "</a>")
                yield piece
            else:
                yield piece if is_in_link else _TIME.sub(self._link, piece)

    def _link(self, found: re.Match[str]) -> str:
        hours, minutes, seconds = (int(each or 0) for each in found.groups())
        start = hours * 3600 + minutes * 60 + seconds
        is_time = minutes < 60 or not found[1]
        if not is_time or not self.left or (self.duration and start > self.duration):
            return found[0]
        self.left -= 1
        link = '<a class="figures" href="{}&amp;t={}" data-plays data-at="{}">{}</a>'
        return format_html(link, self.path, start, start, found[0])
