"""All that is shown of one podcast: its publisher's description, and its episodes in pages."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.domain.identifiers import InvalidIdentifier, item_of
from projections.connect import run
from projections.queries import Page, Query, moment

FURTHEST = 2**63 - 1
DETAILS = """
SELECT podcast_guid, description, link, copyright, categories, explicit, kind, medium, complete,
       episode_count, newest_at, extra, warnings
  FROM "system"."feeds" WHERE id = %s
"""


class Details(NamedTuple):
    """What a publisher says about a podcast. Texts are unchanged from the feed: HTML must be sanitised.
    ``extra`` and ``warnings`` are JSON."""

    podcast_guid: UUID | None
    description: str
    link: str
    copyright: str
    categories: list[str]
    explicit: bool | None
    kind: str
    medium: str
    complete: bool
    episode_count: int
    newest_at: datetime | None
    extra: str
    warnings: str


class EpisodeRow(NamedTuple):
    """An episode of a feed. Texts are unchanged from the feed: HTML must be sanitised. ``extra`` is JSON."""

    guid: str
    enclosure_url: str
    enclosure_type: str
    enclosure_length: int
    title: str
    link: str
    description: str
    published_at: datetime | None
    duration: int | None
    image_url: str
    season: int | None
    number: int | None
    kind: str
    explicit: bool | None
    extra: str
    changed_at: datetime
    gone_at: datetime | None


def id_in_cursor(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= FURTHEST):
        raise ValueError(text)
    return int(text)


# no projector is named: this table is not a read model, so it has no checkpoint
EPISODES = Query(
    "", EpisodeRow, '"system"."episodes" WHERE feed_id = %s', {"sort_at": moment, "id": id_in_cursor}
)


def details_of(feed_id: int) -> Details | None:
    """Return the publisher's description of a feed; None where there is no such feed."""
    row = run(DETAILS, [feed_id], "system").fetchone()
    return None if row is None else Details(*row)


def episodes_of_feed(
    feed_id: int, since: datetime | None = None, after: str | None = None, limit: int = 100
) -> Page[EpisodeRow]:
    """Return a page of a feed's episodes, the newest first, without those that are gone.

    With ``since``: those added, changed or removed since then, gone ones included. Raises ``InvalidCursor``.
    """
    source = EPISODES.source + (" AND gone_at IS NULL" if since is None else "")
    where = {"changed_at >= %s": since}
    return EPISODES._replace(source=source).page(
        [feed_id], where, after, limit, descending=True, read=read_system
    )


def item_in(guid: str, enclosure_url: str) -> str | None:
    """Return the ``rss_source_item`` of an episode in a feed. An enclosure whose address no item can contain
    is left out; None where nothing remains."""
    for given in (enclosure_url, ""):
        try:
            return item_of(guid, given)
        except InvalidIdentifier:
            continue
    return None


def read_system(
    projector: str, page: str, order: str, values: list[Any]
) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the rows of a page from the system store, in the form that ``Query.page`` expects."""
    return 0, run(page, values, "system").fetchall()
