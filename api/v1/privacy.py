"""What others may see of a listener's activity."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, cast, get_args

from django.conf import settings
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success, dispatch_and_answer, order
from api.auth import caller_of
from api.episodes import FeedOrEpisode
from api.fields import PAGE, Cursor, Level, PageSize, Time, meta
from api.operations import operation
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain import episodes, privacy
from eventstore.domain.identifiers import shown_item_or_none
from eventstore.domain.privacy import ChangePrivacy, ClearPrivacy, PrivacySetting, Source
from projections import queries
from projections.queries import Page, PrivacyRow


class Setting(Struct):
    """The setting of an item, of a feed or, with neither, of the account."""

    privacy: privacy.Level
    rss_source_feed: str | None
    rss_source_item: str | None
    guid: str | None
    enclosure_url: str | None
    updated_at: datetime


class InForce(Struct):
    """The level that applies, and which kind of setting it comes from."""

    privacy: privacy.Level
    source: Annotated[
        Source, meta("Whose setting applies: the item's, the feed's, the account's, or the default.")
    ]


class Settings(Struct):
    """`in_force`: for the item or feed that was asked for, or else for the account."""

    settings: list[Setting]
    in_force: InForce
    next_cursor: str | None


class PrivacyWritten(Struct):
    """The current setting, even if a later one had already won; null if there is none."""

    status: Success
    setting: Setting | None
    in_force: InForce


class PrivacyQuery(FeedOrEpisode):
    limit: PageSize = PAGE
    cursor: Cursor | None = None


class ClearQuery(FeedOrEpisode):
    updated_at: Time | None = None


class PrivacyBody(FeedOrEpisode, kw_only=True):
    """For an item of a feed, for a feed or, with neither, for the account. The feed may be left out if only
    one of the user's feeds has the item (422 `ambiguous_item`, `feed_required`). `updated_at` is for what was
    set offline."""

    privacy: Level
    updated_at: Time | None = None


class PrivacyView(View):
    scopes = {
        "GET": "user.privacy.read",
        "PUT": "user.privacy.write",
        "DELETE": "user.privacy.write",
    }

    @operation("Show privacy settings", answers={200: Settings})
    def get(self, request: Request, query: PrivacyQuery) -> Response:
        """Every setting, page by page; with `feed`, `item` or both, the settings that apply to it. The most
        specific one decides: item, feed, account, the instance's default."""
        user_id = caller_of(request).user_id

        def read() -> Page[tuple[Page[PrivacyRow], Page[PrivacyRow]]]:
            bearing = listed = queries.privacy_of(user_id, query.feed, query.item)
            if query.feed is None and query.item is None:
                listed = queries.privacy_settings(user_id, query.cursor, query.limit)
            return Page([(bearing, listed)], None, min(bearing.position, listed.position))

        page = answers.page(request, "privacy", read)
        [(bearing, listed)] = page.rows
        found = Settings([_row(row) for row in listed.rows], _of_rows(bearing.rows), listed.next)
        return answers.answer(found, page.position)

    @operation("Set a privacy level", answers={200: PrivacyWritten}, once=True)
    def put(self, request: Request, body: PrivacyBody) -> Response:
        """Applies also to what was done before. Of two settings for the same thing the later wins; if their
        times are equal, the one that shows less."""
        named = {"feed": body.feed, "item": body.item}
        command = order(request, ChangePrivacy, level=body.privacy, at=body.updated_at, **named)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, **named))

    @operation("Take a privacy level back", answers={200: PrivacyWritten}, once=True)
    def delete(self, request: Request, query: ClearQuery) -> Response:
        """For an item, for a feed or, with neither, for the account: the less specific setting decides
        again."""
        named = {"feed": query.feed, "item": query.item}
        command = order(request, ClearPrivacy, at=query.updated_at, **named)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, **named))


def _of_rows(rows: list[PrivacyRow]) -> InForce:
    """Return what is in force, given the settings that apply to something: the most specific one decides."""
    by_source = {
        "item" if row.rss_source_item else "feed" if row.rss_source_feed else "user": row.level
        for row in rows
    }
    for source in get_args(Source):
        if source in by_source:
            return InForce(by_source[source], source)
    return InForce(cast(privacy.Level, settings.DEFAULT_PRIVACY), "instance")


def _in_force(known: Mapping[str, PrivacySetting], feed: str | None, item: str | None) -> InForce:
    return InForce(*privacy.in_force(known, feed, item, cast(privacy.Level, settings.DEFAULT_PRIVACY)))


def _written(outcome: Outcome, feed: str | None, item: str | None) -> PrivacyWritten:
    user = outcome.user
    if item is not None:
        feed, item = episodes.find(user, feed, item)
    setting = user.privacy.get(privacy.scope_of(feed, item))
    shown = None
    if setting is not None and setting.level is not None:
        shown = _setting(setting.level, setting.feed, setting.item, setting.changed_at)
    return PrivacyWritten("success", shown, _in_force(user.privacy, feed, item))


def _row(row: PrivacyRow) -> Setting:
    return _setting(row.level, row.rss_source_feed, row.rss_source_item, row.changed_at)


def _setting(level: privacy.Level, feed: str | None, item: str | None, changed_at: datetime) -> Setting:
    return Setting(level, feed, *shown_item_or_none(item), changed_at)


paths = [path("privacy", PrivacyView.as_view())]
