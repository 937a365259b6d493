"""Settings that apps keep, at `/api/2/settings`, and favourites, at `/api/2/favorites`, which are saved
episodes."""

import json
import re
from typing import Any, Final, NamedTuple

from api.answers import record
from api.gpodder.access import Call, bad, not_found, route
from api.gpodder.addresses import episode_address, feed_address
from api.gpodder.devices import check_known, origin_of
from api.gpodder.objects import episodes
from eventstore.dispatcher import state_of
from eventstore.domain import episodes as known_episodes
from eventstore.domain import privacy
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.saved import REGISTER, SaveEpisode, UnsaveEpisode
from eventstore.domain.settings import (
    LONGEST_NAME,
    LONGEST_VALUE,
    MOST_NAMES,
    MOST_SCOPES,
    SPELLING,
    ChangeSettings,
    scope_of,
)
from feeds.files import files, named

# NUL, which PostgreSQL cannot store, and UTF-16 surrogates
_UNTOLD: Final = re.compile("[\0\ud800-\udfff]")
FAVOURITE: Final = "is_favorite"
# the setting that, if true, makes a podcast or the account public
PUBLIC: Final = {"podcast": "public_subscription", "account": "public_profile"}


class Scope(NamedTuple):
    kind: str
    device: str | None = None
    feed: str | None = None
    item: str | None = None

    @property
    def key(self) -> str:
        return scope_of(self.device, self.feed, self.item)

    @property
    def names(self) -> dict[str, str | None]:
        return {"device": self.device, "feed": self.feed, "item": self.item}


def read(call: Call, scope: str) -> dict[str, Any]:
    call.tell("asked_settings")
    return _shown(call, _scope(call, scope))


def change(call: Call, scope: str) -> dict[str, Any]:
    of = _scope(call, scope)
    body = call.json(dict)
    values, removed = body.get("set", {}), body.get("remove", [])
    if not isinstance(values, dict) or not isinstance(removed, list):
        raise bad("set is an object, remove a list of names.")
    _check(call, of, values, removed)
    orders: list[Any] = [call.order(ChangeSettings, set=values, remove=tuple(removed), **of.names)]
    orders += _beside(call, of, values)
    outcome = record(call.batch(orders), origin_of(call, of.device))
    call.tell("sent_settings", changed=len(outcome.events))
    return _shown(call, of)


def favourites(call: Call) -> list[dict[str, Any]]:
    saved = [one for one in state_of(call.user_id).user.saved.values() if one.saved]
    call.tell("asked_favourites")
    saved.sort(key=lambda one: (REGISTER.decided_at(one), one.item), reverse=True)
    return episodes(call.user_id, [(one.feed, one.item) for one in saved])


def _scope(call: Call, kind: str) -> Scope:
    """Raises ``ApiError`` 404 for an unknown scope or device, 400 if the scope's device, podcast or episode
    is missing."""
    if kind == "account":
        return Scope(kind)
    if kind == "device":
        device = call.query.get("device", "")
        if not device:
            raise bad("device is missing.")
        check_known(call, device)
        return Scope(kind, device=device)
    if kind not in ("podcast", "episode"):
        raise not_found("Scopes are account, device, podcast and episode.")
    podcast = feed_address(call.query.get("podcast", ""))
    if not podcast.kept:
        raise bad("podcast is missing, or no address.")
    if kind == "podcast":
        return Scope(kind, feed=podcast.feed)
    episode = episode_address(call.query.get("episode", ""))
    if not episode.kept:
        raise bad("episode is missing, or no address.")
    return Scope(kind, feed=podcast.feed, item=_item(call, podcast.feed, item_of("", episode.kept)))


def _item(call: Call, feed: str, item: str) -> str:
    """Return the item of the episode with that file, as completely as it is known."""
    found = files([(feed, item)]).get((feed, item))
    if found is not None and found.guid:
        return named(item, found)
    return known_episodes.find(state_of(call.user_id).user, feed, item).item


def _shown(call: Call, of: Scope) -> dict[str, Any]:
    user = state_of(call.user_id).user
    known = user.settings.get(of.key)
    values = dict(known.values) if known else {}
    if of.item is not None and of.feed is not None:
        values.pop(FAVOURITE, None)
        saved = user.saved.get(episode_key(of.feed, of.item))
        if saved is not None and saved.saved:
            values[FAVOURITE] = True
    return values


def _check(call: Call, of: Scope, values: dict[str, Any], removed: list[Any]) -> None:
    """Raise ``ApiError`` 400 for invalid names or values, and for too many of them."""
    for name in [*values, *removed]:
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or _UNTOLD.search(name):
            raise bad(f"Names have 1 to {LONGEST_NAME} characters.")
    try:
        texts = [json.dumps(value, ensure_ascii=False, allow_nan=False).encode() for value in values.values()]
    except (ValueError, RecursionError):  # a lone surrogate, or a number that is too large
        raise bad("A value is no text, or no number.") from None
    if any(len(text) > LONGEST_VALUE or b"\\u0000" in text for text in texts):
        raise bad(f"Values have {LONGEST_VALUE:,} bytes at most.")
    known = state_of(call.user_id).user.settings
    scope = known.get(of.key)
    if len({*(scope.values if scope else ()), *values}) > MOST_NAMES:
        raise bad(f"A scope has {MOST_NAMES} settings at most.")
    scopes = sum(1 for one in known.values() if SPELLING not in one.values)
    if scope is None and values and scopes >= MOST_SCOPES:
        raise bad(f"There are {MOST_SCOPES:,} scopes at most.")


def _beside(call: Call, of: Scope, values: dict[str, Any]) -> list[Any]:
    """Return the commands for the effects that settings have beyond being stored."""
    if of.item is not None and isinstance(values.get(FAVOURITE), bool):
        order: Any = SaveEpisode if values[FAVOURITE] else UnsaveEpisode
        return [call.order(order, feed=of.feed, item=of.item)]
    is_public = values.get(PUBLIC.get(of.kind, ""))
    if isinstance(is_public, bool):
        level: privacy.Level = "public" if is_public else "private"
        return [call.order(privacy.ChangePrivacy, level=level, feed=of.feed)]
    return []


paths = {
    r"settings/{user}/{scope}\.json": route(get=read, post=change),
    r"favorites/{user}\.json": route(get=favourites),
}
