"""`/api/2/updates`: what changed among the podcasts that a device follows, and their new episodes."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from api.gpodder import marks
from api.gpodder.access import Call, route, since_of
from api.gpodder.addresses import Spellings
from api.gpodder.delivery import Writer
from api.gpodder.devices import check_known
from api.gpodder.objects import episode, podcasts
from api.gpodder.subscriptions import changed_since
from eventstore.dispatcher import state_of
from eventstore.domain.episode_actions import EpisodeAction
from eventstore.domain.identifiers import InvalidIdentifier, episode_key, item_of
from eventstore.domain.plays import PlayStatus
from feeds.queries import EpisodeShown, feeds_for
from projections.connect import run

Done = PlayStatus | EpisodeAction

MOST: int = 500
NEW = """
SELECT episode.feed_id, episode.id, episode.feed_id, episode.guid, episode.enclosure_url, episode.title,
       episode.published_at, episode.duration, episode.image_url, episode.blocked
  FROM "system"."episodes" AS episode
 WHERE episode.feed_id = ANY(%s) AND episode.sort_at > %s AND episode.enclosure_url <> ''
 ORDER BY episode.sort_at DESC LIMIT %s
"""


def read(call: Call, device: str) -> dict[str, Any]:
    since = since_of(call)
    check_known(call, device)
    changed, place, version = changed_since(call, marks.place(call.app, since), device)
    url = Spellings(call.user_id, device).url
    removed = [url(feed) for feed in changed.remove]
    updates = _updates(call, since, device)
    has_news = bool(changed.add or changed.remove)
    call.tell("asked_updates", added=len(changed.add), removed=len(changed.remove), sent=len(updates))
    return {
        "add": [
            {**one, "url": url(feed)}
            for feed, one in zip(changed.add, podcasts(call, changed.add), strict=True)
        ],
        "remove": removed,
        "rem": removed,
        "updates": updates,
        "timestamp": marks.after_reading(call.app, place, version, has_news, call.now),
    }


def _updates(call: Call, since: int, device: str) -> list[dict[str, Any]]:
    """Return the episodes of followed podcasts that arrived since a time, and what was done with each; with
    ``include_actions``, also the action itself."""
    user = state_of(call.user_id).user
    followed = [feed for feed, known in user.subscriptions.items() if known.active]
    feeds = feeds_for(call.user_id, followed)
    names = {shown.id: feed for feed, shown in feeds.items()}
    after = datetime.fromtimestamp(min(since, int(call.now.timestamp())), UTC)
    found = []
    for feed_id, *columns in run(NEW, [list(names), after, MOST], "system"):
        shown = EpisodeShown._make(columns)
        try:
            item = item_of(shown.guid, shown.enclosure_url)
        except InvalidIdentifier:
            continue
        key = episode_key(names[feed_id], item)
        done = user.plays.get(key) or user.episode_actions.get(key)
        status = "play" if isinstance(done, PlayStatus) else "new" if done is None else done.action
        found.append(({**episode(names[feed_id], item, feeds, shown), "status": status}, done))
    if call.query.get("include_actions") == "true":
        _add_actions(call, device, found)
    return [update for update, _ in found]


def _add_actions(call: Call, device: str, updates: list[tuple[dict[str, Any], Done | None]]) -> None:
    done = [(update, known) for update, known in updates if known is not None]
    actions = Writer(Spellings(call.user_id, device)).of_known(call.user_id, [known for _, known in done])
    for (update, _), action in zip(done, actions, strict=True):
        update["action"] = msgspec.to_builtins(action)


paths = {r"updates/{user}/{device}\.json": route(get=read)}
