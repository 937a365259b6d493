"""What others may see of what a listener does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, cast

from django.conf import settings
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success, dispatch_and_answer, order
from api.auth import caller_of
from api.fields import PAGE, Cursor, Feed, Item, Level, PageSize, Time, meta
from api.operations import operation
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain import privacy
from eventstore.domain.privacy import ChangePrivacy, ClearPrivacy, PrivacySetting, Source
from projections import queries
from projections.queries import Page, PrivacyRow


class Setting(Struct):
    """Of an item, of a feed, or with neither of the account."""

    privacy: privacy.Level
    rss_source_feed: str | None
    rss_source_item: str | None
    updated_at: datetime


class InForce(Struct):
    """The level that counts, and which kind of setting says so."""

    privacy: privacy.Level
    source: Annotated[Source, meta("The item's setting, the feed's, the account's, or the default.")]


class Settings(Struct):
    """`in_force`: for the item or feed that was asked for, else for the account."""

    settings: list[Setting]
    in_force: InForce
    next_cursor: str | None


class PrivacyWritten(Struct):
    """The setting as it stands, also where a later one had won already; null where there is none."""

    status: Success
    setting: Setting | None
    in_force: InForce


class PrivacyQuery(Struct):
    feed: Feed | None = None
    item: Item | None = None
    limit: PageSize = PAGE
    cursor: Cursor | None = None


class ClearQuery(Struct):
    feed: Feed | None = None
    item: Item | None = None
    updated_at: Time | None = None


class PrivacyBody(Struct):
    """For an item, for a feed, or with neither for the account. `updated_at` is for what was set offline."""

    privacy: Level
    feed: Feed | None = None
    item: Item | None = None
    updated_at: Time | None = None


class PrivacyView(View):
    scopes = {
        "GET": "user.privacy.read",
        "PUT": "user.privacy.write",
        "DELETE": "user.privacy.write",
    }

    @operation("Show privacy settings", answers={200: Settings})
    def get(self, request: Request, query: PrivacyQuery) -> Response:
        """Every setting, page by page; with `feed`, `item` or both those that bear on it. The most specific
        decides: item, feed, account, the instance's default."""
        user_id = caller_of(request).user_id

        def read() -> Page[tuple[Page[PrivacyRow], Page[PrivacyRow]]]:
            bearing = listed = queries.privacy_of(user_id, query.feed, query.item)
            if query.feed is None and query.item is None:
                listed = queries.privacy_settings(user_id, query.cursor, query.limit)
            return Page([(bearing, listed)], None, min(bearing.position, listed.position))

        page = answers.page(request, "privacy", read)
        [(bearing, listed)] = page.rows
        found = Settings([_row(row) for row in listed.rows], _of_rows(bearing.rows, query.item), listed.next)
        return answers.answer(found, page.position)

    @operation("Set a privacy level", answers={200: PrivacyWritten}, once=True)
    def put(self, request: Request, body: PrivacyBody) -> Response:
        """Also for what was done before. Of two settings for the same the later stands, on equal times the
        one that shows less."""
        named = {"feed": body.feed, "item": body.item}
        command = order(request, ChangePrivacy, level=body.privacy, at=body.updated_at, **named)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, **named))

    @operation("Take a privacy level back", answers={200: PrivacyWritten}, once=True)
    def delete(self, request: Request, query: ClearQuery) -> Response:
        """Of an item, of a feed, or with neither of the account: what is less specific decides again."""
        named = {"feed": query.feed, "item": query.item}
        command = order(request, ClearPrivacy, at=query.updated_at, **named)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, **named))


def _of_rows(rows: list[PrivacyRow], item: str | None) -> InForce:
    """What is in force by the settings that bear on something."""
    known = {
        privacy.scope_of(row.rss_source_feed, row.rss_source_item): PrivacySetting(row.level, row.changed_at)
        for row in rows
    }
    feeds = [row.rss_source_feed for row in rows if row.rss_source_item is None]
    return _in_force(known, next(filter(None, feeds), None), item)


def _in_force(known: Mapping[str, PrivacySetting], feed: str | None, item: str | None) -> InForce:
    return InForce(*privacy.in_force(known, feed, item, cast(privacy.Level, settings.DEFAULT_PRIVACY)))


def _written(outcome: Outcome, feed: str | None, item: str | None) -> PrivacyWritten:
    user = outcome.user
    setting = user.privacy.get(privacy.scope_of(feed, item))
    if item is not None and feed is None:
        told = [setting, user.plays.get(item), user.saved.get(item)]
        feed = next((one.feed for one in told if one is not None and one.feed is not None), None)
    shown = None
    if setting is not None and setting.level is not None:
        shown = Setting(setting.level, setting.feed, setting.item, setting.changed_at)
    return PrivacyWritten("success", shown, _in_force(user.privacy, feed, item))


def _row(row: PrivacyRow) -> Setting:
    return Setting(row.level, row.rss_source_feed, row.rss_source_item, row.changed_at)


paths = [path("privacy", PrivacyView.as_view())]
