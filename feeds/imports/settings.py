"""Import settings and favourites from another server, where it has them; many servers do not.

A setting that exists here is kept, and no other server decides what is public here.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from eventstore import dispatcher
from eventstore.domain import episodes
from eventstore.domain.batch import Batch
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.saved import EpisodeSaved, SaveEpisode
from eventstore.domain.settings import (
    LONGEST_NAME,
    LONGEST_VALUE,
    MOST_NAMES,
    MOST_SCOPES,
    SPELLING,
    ChangeSettings,
    SettingsChanged,
    scope_of,
)
from feeds.files import files, named
from feeds.imports import answers
from feeds.imports.client import ServerFault, ask, ask_each
from feeds.imports.lists import MOST_FEEDS, device_names, followed, in_pieces
from feeds.imports.run import Run
from feeds.spelling import episode_address, feed_address

# number of scopes that are requested before their settings are recorded
SCOPES_AT_ONCE: Final = 50
# a favourite is imported as a saved episode; the others decide who sees what
NOT_KEPT: Final = frozenset({"is_favorite", "public_subscription", "public_profile"})


class Scope(NamedTuple):
    device: str | None = None
    feed: str | None = None


def bring_settings(run: Run) -> None:
    if run.progress.flavour != "gpodder":
        return
    base = f"/api/2/settings/{run.account.user}"
    account = dict(ask_each(run.account, [f"{base}/account.json"]))
    if not any(account.values()):
        return  # the server keeps no settings at all
    _record(run, {Scope(): answers.settings(*account.values())})
    scopes = {f"{base}/device.json?{urlencode({'device': name})}": Scope(name) for name in device_names(run)}
    for url in followed(run)[:MOST_FEEDS]:
        if feed := _feed(url):
            scopes[f"{base}/podcast.json?{urlencode({'podcast': url})}"] = Scope(feed=feed)
    for paths in in_pieces(list(scopes), SCOPES_AT_ONCE):
        found = dict(ask_each(run.account, paths))
        _record(run, {scopes[path]: answers.settings(found.get(path)) for path in paths})


def bring_favourites(run: Run) -> None:
    if run.progress.flavour != "gpodder":
        return
    try:
        body = ask(run.account, f"/api/2/favorites/{run.account.user}.json")
        listed = answers.favourites(body)
    except ServerFault as fault:
        if fault.code in ("unreachable", "timeout"):
            raise
        return  # the server has no favourites
    found: dict[tuple[str, str], None] = {}
    for number, (podcast, url) in enumerate(listed, 1):
        feed, episode = feed_address(podcast), episode_address(url)
        if feed.kept and episode.kept:
            found[feed.feed, item_of("", episode.kept)] = None
        else:
            run.progress.refuse("favourites", number, url, feed.reason or episode.reason)
    run.record("favourites", body, lambda: _saves(run, list(found)), EpisodeSaved, len(found))


def _saves(run: Run, names: list[tuple[str, str]]) -> Iterator[Any]:
    """Yield commands for favourites unknown here, that is, neither saved nor removed before."""
    known = files(names)
    orders = []
    for feed, item in names:
        orders.append(run.order(SaveEpisode, feed=feed, item=named(item, known.get((feed, item)))))
    state = dispatcher.state_of(run.user_id)
    # named by their GUIDs, where the listener's plays have made these known
    batch = episodes.resolve(state.user, Batch(user_id=run.user_id, now=run.clock(), orders=tuple(orders)))
    keys = [episode_key(order.feed, order.item) for order in batch.orders]
    state.fetch({"saved": tuple(keys)})
    for key, order in zip(keys, batch.orders, strict=True):
        if key not in state.user.saved:
            yield order


def _feed(url: str) -> str:
    address = feed_address(url)
    return address.feed if address.kept else ""


def _record(run: Run, received: dict[Scope, dict[str, Any]]) -> None:
    """Record settings; each scope counts as one item."""
    received = {scope: values for scope, values in received.items() if values}
    if received:
        part = json.dumps([[*scope, values] for scope, values in received.items()]).encode()
        run.record("settings", part, lambda: _changes(run, received), SettingsChanged, len(received))
    run.keep()


def _changes(run: Run, received: dict[Scope, dict[str, Any]]) -> Iterator[Any]:
    state = dispatcher.state_of(run.user_id)
    state.fetch({"settings": tuple(scope_of(*scope) for scope in received)})
    known = state.user.settings
    more = MOST_SCOPES - sum(1 for one in known.values() if SPELLING not in one.values)
    for (device, feed), values in received.items():
        scope = known.get(scope_of(device, feed))
        here = scope.values if scope is not None else {}
        new = {name: value for name, value in values.items() if name not in here and _is_kept(name, value)}
        room = MOST_NAMES - len(here)
        if new and room > 0 and (scope is not None or more > 0):
            more -= scope is None
            yield run.order(ChangeSettings, set=dict(list(new.items())[:room]), device=device, feed=feed)


def _is_kept(name: str, value: Any) -> bool:
    if name in NOT_KEPT or not 1 <= len(name) <= LONGEST_NAME or "\0" in name:
        return False
    text = json.dumps(value)
    return len(text.encode()) <= LONGEST_VALUE and "\\u0000" not in text
