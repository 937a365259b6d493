"""The podcasts and episodes with a privacy level of their own, and the followed podcasts:
searching, listing, choosing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest

from eventstore.domain import privacy
from eventstore.domain.identifiers import InvalidIdentifier, key_of, normalise_feed, normalise_item
from eventstore.domain.privacy import PrivacySetting
from projections import exposure, queries
from projections.exposure import Scope
from web import paging, privacy_levels
from web.activity_texts import Titles
from web.addresses import in_path
from web.display import Episode, Podcast
from web.privacy_levels import EffectiveLevel

PAGE: Final = 50
MOST: Final = 10_000
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Settings(NamedTuple):
    """All privacy settings of a listener, keyed by ``privacy.scope_of``."""

    by_scope: Mapping[str, PrivacySetting]

    def scopes(self) -> list[Scope]:
        """Return what has a level of its own, the most recently changed first."""
        own = [of for of in self.by_scope.values() if of.feed is not None]
        own.sort(key=lambda of: (of.changed_at, of.feed, of.item or ""), reverse=True)
        return [(of.feed, of.item) for of in own if of.feed is not None]

    def level_of(self, feed: str | None, item: str | None) -> privacy.Level | None:
        """Return the level set for this very podcast or episode; None if none is set."""
        setting = self.by_scope.get(privacy.scope_of(feed, item))
        return setting.level if setting else None

    def account(self) -> privacy.InForce:
        """Return the level of the account, and whether it is the server's default."""
        return privacy.in_force(self.by_scope, None, None, exposure.default_level())


class Override(NamedTuple):
    """A podcast or an episode in the list; ``key`` identifies it in a form."""

    key: str
    of: Podcast | Episode
    glance: EffectiveLevel


class Cut(NamedTuple):
    """A page of scopes, the cursor of the next page or "", and the total number found."""

    scopes: list[Scope]
    following: str
    found: int


def settings_of(user_id: UUID) -> Settings:
    rows = queries.privacy_settings(user_id, limit=MOST).rows
    return Settings(
        {
            privacy.scope_of(row.rss_source_feed, row.rss_source_item): PrivacySetting(
                row.level, row.changed_at, row.rss_source_feed, row.rss_source_item
            )
            for row in rows
        }
    )


def followed(user_id: UUID) -> list[Scope]:
    """Return the podcasts that a listener follows."""
    rows = queries.subscriptions(user_id, limit=MOST).rows
    rows.sort(key=lambda row: row.subscribed_at or LONG_AGO, reverse=True)
    return [(row.rss_source_feed, None) for row in rows]


def search(scopes: Iterable[Scope], text: str, known: Titles) -> list[Scope]:
    """Return the scopes whose title, or whose podcast's title, contains ``text``."""
    wanted = text.casefold()
    return [scope for scope in scopes if wanted in _names(known.of(*scope)).casefold()]


def cut(scopes: Sequence[Scope], after: str) -> Cut:
    """Return the page after the given key, or the first page if that key no longer exists."""
    return Cut(*paging.cut(scopes, _place, after, PAGE), len(scopes))


def listed(scopes: Sequence[Scope], settings: Settings, known: Titles) -> list[Override]:
    blocked = exposure.blocked({feed for feed, _ in scopes})
    return [
        Override(
            key_in_form(scope),
            known.of(*scope),
            privacy_levels.glance(settings.by_scope, scope, is_blocked=scope[0] in blocked),
        )
        for scope in scopes
    ]


def key_in_form(scope: Scope) -> str:
    feed, item = scope
    return in_path(feed) if item is None else f"{in_path(feed)}.{in_path(item)}"


def scope_in_form(text: str) -> Scope:
    """Decode a key from a form. Raises ``BadRequest`` if it is invalid."""
    feed, _, item = text.partition(".")
    try:
        return normalise_feed(feed), normalise_item(item) if item else None
    except InvalidIdentifier:
        raise BadRequest from None


def _place(scope: Scope) -> str:
    return key_of(privacy.scope_of(*scope))


def _names(of: Podcast | Episode) -> str:
    return f"{of.title} {of.podcast}" if isinstance(of, Episode) else f"{of.title} {of.author} {of.address}"
