"""What listeners do on a device: in its own memory if it is offline, or else by a request for each action."""

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple, TypeAlias
from uuid import UUID

from tests.soak.device import Device
from tests.soak.listening import LENGTH, ListeningLog
from tests.soak.memory import ENTRIES, Json, members, seen
from tests.soak.world import Episode, Show, url_safe

MOST_LISTS = 3
COLORS = ("#aabbcc", "#001122", None)
# refusals because another device has deleted the list, taken out the episode, or left the feed
GONE = (404, 422)


class Doing(NamedTuple):
    """``online``: the action is a request. ``shows`` are the listener's choices, favourites first."""

    device: Device
    online: bool
    rng: Random
    shows: list[Show]
    listening: ListeningLog

    def show(self) -> Show:
        return self.shows[min(int(self.rng.expovariate(0.25)), len(self.shows) - 1)]

    def episode(self) -> Episode:
        return self.rng.choice(self.show().episodes)

    def at(self) -> str:
        return self.device.now().isoformat()

    def path(self, *parts: str) -> str:
        return "/".join(("/api/v1", *parts))

    def known(self, topic: str) -> list[Json]:
        """Return the entries of a topic that this device shows."""
        entries = self.device.memory.of(topic).values()
        return [entry for entry in entries if seen(ENTRIES[topic], entry) is not None]


Action: TypeAlias = Callable[[Doing], None]


def follow(doing: Doing) -> None:
    feed = doing.show().feed
    if doing.online:
        doing.device.ask("POST", doing.path("subscriptions"), {"rss_source_feed": feed})
    else:
        times = {"subscribed_at": doing.at(), "unsubscribed_at": None}
        doing.device.act("subscriptions", {"rss_source_feed": feed, "rss_source_id": None, **times})


def unfollow(doing: Doing) -> None:
    followed = doing.known("subscriptions")
    if not followed:
        return follow(doing)
    feed = doing.rng.choice(followed)["rss_source_feed"]
    if doing.online:
        doing.device.ask("DELETE", doing.path("subscriptions", url_safe(feed)), allow=GONE)
    else:
        times = {"subscribed_at": None, "unsubscribed_at": doing.at()}
        doing.device.act("subscriptions", {"rss_source_feed": feed, "rss_source_id": None, **times})
    return None


def listen(doing: Doing) -> None:
    doing.listening.listen(doing.device, doing.episode(), online=doing.online)


def hear_of(doing: Doing) -> None:
    """Report a random position in an episode, whatever was heard of it."""
    feed, item = doing.episode()
    play: Json = {"rss_source_feed": feed, "rss_source_item": item}
    play |= {"position": doing.rng.randrange(LENGTH), "played": doing.rng.random() < 0.3}
    doing.device.ask("POST", doing.path("plays"), play)


def save(doing: Doing) -> None:
    feed, item = doing.episode()
    if doing.online:
        doing.device.ask("POST", doing.path("episodes", url_safe(item), "save"), {"rss_source_feed": feed})
    else:
        times = {"saved_at": doing.at(), "unsaved_at": None}
        doing.device.act("saved_episodes", {"rss_source_feed": feed, "rss_source_item": item, **times})


def unsave(doing: Doing) -> None:
    saved = doing.known("saved_episodes")
    if not saved:
        return save(doing)
    names = {name: doing.rng.choice(saved)[name] for name in ("rss_source_feed", "rss_source_item")}
    if doing.online:
        item = url_safe(names["rss_source_item"])
        doing.device.ask("DELETE", doing.path("episodes", item, "save"), allow=GONE)
    else:
        doing.device.act("saved_episodes", {**names, "saved_at": None, "unsaved_at": doing.at()})
    return None


def share(doing: Doing) -> None:
    """Share an episode, if online: a share has no state, so there is nothing to remember offline."""
    if doing.online:
        feed, item = doing.episode()
        doing.device.ask("POST", doing.path("episodes", url_safe(item), "share"), {"rss_source_feed": feed})


def remove(doing: Doing) -> None:
    """Rarely, remove a feed from the history for good. Devices that do not know of it may report it again."""
    followed = doing.known("subscriptions")
    if followed and doing.online and doing.rng.random() < 0.1:
        feed = doing.rng.choice(followed)["rss_source_feed"]
        doing.device.ask("POST", doing.path("removals"), {"feed": feed})
        doing.listening.remove(feed)


class ListKind(NamedTuple):
    """What playlists of episodes and collections of feeds have in common, and how they differ."""

    topic: str
    inside: str
    name: str
    # chooses what to add, named as in a sync
    choose: Callable[[Doing], Json | None]


def _episode(doing: Doing) -> Json | None:
    feed, item = doing.episode()
    return {"rss_source_feed": feed, "rss_source_item": item}


def _followed(doing: Doing) -> Json | None:
    followed = doing.known("subscriptions")
    return {"rss_source_feed": doing.rng.choice(followed)["rss_source_feed"]} if followed else None


PLAYLISTS = ListKind("playlists", "items", "rss_source_item", _episode)
COLLECTIONS = ListKind("collections", "feeds", "rss_source_feed", _followed)


def _lists(doing: Doing, of: ListKind) -> list[Json]:
    """Return the lists that a listener may change, which leaves out the default collection."""
    return [entry for entry in doing.known(of.topic) if not entry.get("is_default")]


def _register(doing: Doing, of: ListKind) -> Json:
    found: Json = {"name": f"List {doing.rng.randrange(100)}", "is_public": doing.rng.random() < 0.3}
    return found | ({"color": doing.rng.choice(COLORS)} if of is COLLECTIONS else {})


def create(doing: Doing, of: ListKind) -> None:
    entry = {"id": str(UUID(int=doing.rng.getrandbits(128), version=4)), **_register(doing, of)}
    if doing.online:
        doing.device.ask("POST", doing.path(of.topic), entry)
    else:
        doing.device.act(of.topic, {**entry, "updated_at": doing.at(), of.inside: []})


def put_in(doing: Doing, of: ListKind, into: Json) -> None:
    what = of.choose(doing)
    if what is None:
        return
    if doing.online:
        doing.device.ask("POST", doing.path(of.topic, into["id"], of.inside), what, allow=GONE)
    else:
        entry = {**what, "position": len(into[of.inside]), "added_at": doing.at(), "removed_at": None}
        others = [one for one in into[of.inside] if one[of.name] != what[of.name]]
        doing.device.act(of.topic, {**into, of.inside: [*others, entry]})


def take_out(doing: Doing, of: ListKind, out_of: Json) -> None:
    inside = members(out_of[of.inside], of.name)
    if not inside:
        return put_in(doing, of, out_of)
    gone = doing.rng.choice(inside)
    if doing.online:
        path = doing.path(of.topic, out_of["id"], of.inside, url_safe(gone))
        doing.device.ask("DELETE", path, allow=GONE)
    else:
        at = doing.at()
        entries = [
            {**one, "added_at": None, "removed_at": at} if one[of.name] == gone else one
            for one in out_of[of.inside]
        ]
        doing.device.act(of.topic, {**out_of, of.inside: entries})
    return None


def reorder(doing: Doing, of: ListKind, which: Json) -> None:
    order = members(which[of.inside], of.name)
    doing.rng.shuffle(order)
    if doing.online:
        path = doing.path(of.topic, which["id"], "order")
        doing.device.ask("PUT", path, {of.inside: [{of.name: name} for name in order]}, allow=GONE)
    else:
        places = {name: place for place, name in enumerate(order)}
        entries = [{**one, "position": places.get(one[of.name])} for one in which[of.inside]]
        doing.device.act(of.topic, {**which, "updated_at": doing.at(), of.inside: entries})


def rename(doing: Doing, of: ListKind, which: Json) -> None:
    register = _register(doing, of)
    if doing.online:
        doing.device.ask("PATCH", doing.path(of.topic, which["id"]), register, allow=GONE)
    else:
        doing.device.act(of.topic, {**which, **register, "updated_at": doing.at()})


def delete(doing: Doing, of: ListKind, which: Json) -> None:
    if doing.online:
        doing.device.ask("DELETE", doing.path(of.topic, which["id"]), allow=GONE)
    else:
        doing.device.act(of.topic, {**which, "deleted_at": doing.at()})


Change: TypeAlias = Callable[[Doing, ListKind, Json], None]
CHANGES: Mapping[Change, int] = {put_in: 8, take_out: 3, reorder: 2, rename: 2, delete: 1}


def arrange(doing: Doing, of: ListKind) -> None:
    """Do something with a list: at first create some, later change one."""
    lists = _lists(doing, of)
    if not lists or (len(lists) < MOST_LISTS and doing.rng.random() < 0.2):
        return create(doing, of)
    (change,) = doing.rng.choices(list(CHANGES), list(CHANGES.values()))
    return change(doing, of, doing.rng.choice(lists))


def set_privacy(doing: Doing, level: str | None, feed: str | None = None, item: str | None = None) -> None:
    """Set a privacy level, or take a setting back if ``level`` is None."""
    if not doing.online:
        names = {"rss_source_feed": feed, "rss_source_item": item}
        doing.device.act("privacy_settings", {"privacy": level, "updated_at": doing.at(), **names})
    elif level is None:
        given = {"feed": feed, "item": item}
        asked = "&".join(f"{key}={url_safe(value)}" for key, value in given.items() if value)
        doing.device.ask("DELETE", doing.path("privacy") + f"?{asked}")
    else:
        body = {"privacy": level, "feed": feed, "item": item}
        doing.device.ask("PUT", doing.path("privacy"), {key: value for key, value in body.items() if value})


def arrange_playlists(doing: Doing) -> None:
    arrange(doing, PLAYLISTS)


def arrange_collections(doing: Doing) -> None:
    arrange(doing, COLLECTIONS)


WEIGHTS: Mapping[Action, int] = {
    listen: 15,
    follow: 5,
    unfollow: 2,
    save: 4,
    unsave: 2,
    share: 1,
    remove: 1,
    arrange_playlists: 5,
    arrange_collections: 4,
}
