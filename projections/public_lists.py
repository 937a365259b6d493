"""Public lists: what others see in them, and searching playlists by words.

Nothing is found that was hidden before the search began.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from eventstore import log
from eventstore.domain import privacy
from eventstore.streams import Stream
from projections import queries, replicas
from projections.lists import EXISTS
from projections.queries import Page, Query, key, moment

# a feed, and one of its items or None
Name = TypeVar("Name", bound=tuple[str, str | None])
PATIENCE: Final = 0.5  # seconds
_WORD: Final = re.compile(r"\w+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
# Case and accents are removed as in ``folded``; each search word must be a word or the beginning of one.
# There are few public playlists, so there is no index of words.
SOURCE: Final = f"""(
    SELECT list.*, regexp_replace(lower(normalize(list.name || ' ' || coalesce(list.description, ''), NFKD)),
                                  '[\u0300-\u036f]+', '', 'g') AS text
      FROM "users"."playlists" list WHERE is_public AND {EXISTS}) AS list
 WHERE text ~ ALL (%s::text[])"""  # noqa: S608  no values in it


class PublicPlaylist(NamedTuple):
    """The number of episodes is left out: some may not be for everybody."""

    user_id: UUID
    id: UUID
    name: str


FIND: Final = Query(
    "playlists",
    PublicPlaylist,
    SOURCE,
    {"updated_at": moment, "playlist_id": key},
    "user_id, playlist_id AS id, name",
)


def shown_in_lists(stream: Stream, names: Sequence[Name]) -> list[Name]:
    """Return those members of a public list, feeds or episodes, that others may see.

    Left out are those that their listener has set to private or anonymous. The account's level does not
    count, because a public list is an exception to it.
    """
    scopes = {name: privacy.scopes_of(*name)[:-1] for name in names}
    keys = {scope for of in scopes.values() for _, scope in of}
    stream.fetch({"privacy": tuple(keys)})
    known = {key: stream.user.privacy.get(key) for key in keys}
    levels = {
        name: next((found.level for _, scope in of if (found := known[scope]) and found.level), "public")
        for name, of in scopes.items()
    }
    return [name for name in names if levels[name] == "public"]


def playlists(words: str, after: str | None, limit: int) -> Page[PublicPlaylist]:
    """Return the public playlists with all of these words, last changed first.

    Raises ``InvalidCursor``, and ``Behind`` if what was hidden lately is not known yet.
    """
    patterns = [rf"\m{word}" for word in _WORD.findall(folded(words))]
    if not patterns:
        return Page([], None, 0)
    head = log.head()
    with replicas.at_least(head):
        page = FIND.page([patterns], {}, after, limit, descending=True)
        if page.position >= head:
            return page
        queries.wait_for(FIND.projector, head, PATIENCE)
        return FIND.page([patterns], {}, after, limit, descending=True)


def folded(text: str) -> str:
    """Return the text in lower case and without accents."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text).lower())
