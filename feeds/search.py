"""Finding podcasts and episodes in what this server knows: by words, category and language.

Words are compared without case, accents and signs, and each may go on (``system.search_query``). A secret or
blocked feed is found by those alone who follow it.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from projections.connect import run

CATEGORY = """
SELECT slug, name FROM "system"."categories" WHERE slug = %(slug)s OR parent_id = %(slug)s
"""
# each of a feed's addresses is a feed to whoever counts by digests of addresses
PUBLIC_KEYS = """
SELECT alias.feed_key
  FROM "system"."feeds" AS feed JOIN "system"."feed_aliases" AS alias ON alias.feed_id = feed.id
 WHERE NOT feed.is_secret AND NOT feed.blocked {among}
"""
IN_CATEGORY = " AND feed.categories && %(categories)s"
# publishers write en-US, en_us and EN
IN_LANGUAGE = """
   AND (replace(lower(feed.language), '_', '-') || '-') LIKE (%(language)s || '-%%')
"""


class Among(NamedTuple):
    """Which feeds are looked at: the names of categories, of which one suffices, and a language."""

    categories: Sequence[str] | None
    language: str | None


ALL = Among(None, None)


def category_names(slug: str) -> list[str]:
    """How feeds may name a category or one below it; none where there is no such category."""
    rows = run(CATEGORY, {"slug": slug}, "system").fetchall()
    return sorted({name for row in rows for name in row})


def public_feed_keys(among: Among) -> list[UUID]:
    """The digests of the addresses of all feeds that everybody may see."""
    statement = PUBLIC_KEYS.format(among=_conditions(among))
    return [key for (key,) in run(statement, _values(among), "system")]


def _conditions(among: Among) -> str:
    return (IN_CATEGORY if among.categories is not None else "") + (IN_LANGUAGE if among.language else "")


def _values(among: Among) -> dict[str, object]:
    categories = None if among.categories is None else list(among.categories)
    return {"categories": categories, "language": among.language}
