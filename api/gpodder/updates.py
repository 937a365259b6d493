"""`/api/2/updates`: what changed among the podcasts of a device, with their new episodes."""

from datetime import UTC, datetime
from typing import Any

from api.gpodder import marks
from api.gpodder.access import Call, route, since_of
from api.gpodder.addresses import Spellings
from api.gpodder.devices import check_known
from api.gpodder.objects import episode, podcasts
from api.gpodder.subscriptions import changed_since
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import InvalidIdentifier, episode_key, item_of
from feeds.queries import EpisodeShown, feeds_for
from projections.connect import run

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
    told, place, version = changed_since(call, marks.place(call.app, since), device)
    url = Spellings(call.user_id, device).url
    removed = [url(feed) for feed in told.remove]
    updates = _updates(call, since)
    has_news = bool(told.add or told.remove)
    call.tell("asked_updates", added=len(told.add), removed=len(told.remove), sent=len(updates))
    return {
        "add": [
            {**one, "url": url(feed)} for feed, one in zip(told.add, podcasts(call, told.add), strict=True)
        ],
        "remove": removed,
        "rem": removed,
        "updates": updates,
        "timestamp": marks.after_reading(call.app, place, version, has_news, call.now),
    }


def _updates(call: Call, since: int) -> list[dict[str, Any]]:
    """The episodes of podcasts followed that came since a time, and what was done with each."""
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
        status = "play" if key in user.plays else "new"
        if status == "new" and (action := user.episode_actions.get(key)) is not None:
            status = action.action
        found.append({**episode(names[feed_id], item, feeds, shown), "status": status})
    return found


paths = {r"updates/{user}/{device}\.json": route(get=read)}
