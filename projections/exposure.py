"""What others may see of one listener: the levels in force for what he looks at."""

from collections.abc import Iterable, Sequence
from typing import cast
from uuid import UUID

from django.conf import settings

from eventstore.domain import privacy
from eventstore.domain.identifiers import feed_key_of, key_of
from eventstore.domain.privacy import InForce, Level, PrivacySetting
from projections.connect import run
from projections.queries import PRIVACY_SETTINGS

# a feed and an item of it, or a feed alone
Scope = tuple[str, str | None]

BLOCKED = """
SELECT feed_key FROM "users"."blocked_feeds"
 WHERE feed_key = ANY(%s) AND (publisher_since IS NOT NULL OR operator_since IS NOT NULL)
"""


def default_level() -> Level:
    """The level of who has set none."""
    return cast(Level, settings.DEFAULT_PRIVACY)


def blocked(feeds: Iterable[str]) -> set[str]:
    """Those of these normalised feeds of which nothing is public, whatever the levels."""
    keys = {UUID(feed_key_of(feed)): feed for feed in feeds}
    return {keys[key] for (key,) in run(BLOCKED, [list(keys)])} if keys else set()


def settings_of(user_id: UUID, scopes: Sequence[Scope]) -> dict[str, PrivacySetting]:
    """The settings of a listener that bear on these feeds and episodes, by ``privacy.scope_of``."""
    bearing = {scope for feed, item in scopes for _, scope in privacy.scopes_of(feed, item)}
    keys = [key_of(scope) for scope in (*bearing, privacy.ACCOUNT)]
    found = PRIVACY_SETTINGS.page([user_id], {"scope_key = ANY(%s::uuid[])": keys}, limit=len(keys)).rows
    return {
        privacy.scope_of(row.rss_source_feed, row.rss_source_item): PrivacySetting(
            row.level, row.changed_at, row.rss_source_feed, row.rss_source_item
        )
        for row in found
    }


def levels_of(user_id: UUID, scopes: Sequence[Scope]) -> dict[Scope, InForce]:
    """What is in force for each of these feeds and episodes, and which setting says so."""
    known = settings_of(user_id, scopes)
    return {scope: privacy.in_force(known, *scope, default_level()) for scope in scopes}
