"""Followed podcasts: changes at `/api/2/subscriptions`, and whole lists at `/subscriptions`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from accounts import app_login
from api.answers import record
from api.gpodder import formats, marks
from api.gpodder.access import Answer, Call, bad, route, since_of
from api.gpodder.addresses import Corrections, Moves, Spellings, feed_address, moves_among
from api.gpodder.devices import check_known, origin_of, registration
from api.gpodder.objects import podcasts
from eventstore import changes
from eventstore.dispatcher import Outcome, state_of
from eventstore.domain import unfollowing
from eventstore.domain.held_removals import (
    HeldRemoval,
    HoldRemoval,
    RemovalHeld,
    RemovalSettled,
    SettleRemoval,
)
from eventstore.domain.identifiers import key_of
from eventstore.domain.settings import SPELLING
from eventstore.domain.subscriptions import Subscribe, Unsubscribe, UserSubscribed, UserUnsubscribed
from eventstore.log import LAST_VERSION

# changes that are read at once: nobody follows that many podcasts
MOST_CHANGES = 100_000


class Changed(NamedTuple):
    """Feeds that a device is told of: those followed now, and those no longer followed."""

    add: list[str]
    remove: list[str]


def read_changes(call: Call, device: str) -> dict[str, Any]:
    """Return the net changes since a mark."""
    since = since_of(call)
    note_device(call, device)
    found = marks.place(call.app, since)
    changed, place, version = changed_since(call, found, device)
    mark = marks.after_reading(call.app, place, version, bool(changed.add or changed.remove), call.now)
    call.tell("asked_podcasts", added=len(changed.add), removed=len(changed.remove))
    if not (changed.add or changed.remove):
        return {"add": [], "remove": [], "timestamp": mark}
    _note_delivery(call, device, version)
    url = Spellings(call.user_id, device).url
    return {
        "add": [url(feed) for feed in changed.add],
        "remove": [url(feed) for feed in changed.remove],
        "timestamp": mark,
    }


def changed_since(call: Call, found: marks.Place, device: str) -> tuple[Changed, marks.Place, int]:
    """Return what a device is to be told, since which place, and up to which version."""
    extent = changes.extent(call.user_id, found.version)
    place = marks.within(call.app, found, extent.head)
    if place.is_new:
        # never a removal for an app that is starting: it would delete what is only on the device
        return Changed(_followed(call, device), []), place, extent.head
    if place.version == extent.head:
        return Changed([], []), place, extent.head
    feeds = _changed_feeds(call, place.version, extent)
    return _without_moves(call, _net(call, feeds, device), device, place.version), place, extent.head


def _changed_feeds(call: Call, after: int, extent: changes.Extent) -> dict[str, bool]:
    """Return the feeds that changed, and for each whether more happened than that a removal was settled."""
    found: dict[str, bool] = {}
    if not extent.is_whole and (kept := changes.checkpoint(call.user_id)) is not None:
        after = max(after, kept[0])
        found |= dict.fromkeys(kept[1].subscriptions, True)
    for change in changes.since(call.user_id, after, extent.head, marks.SUBSCRIPTIONS, MOST_CHANGES):
        if not isinstance(change.event, RemovalHeld):
            feed = change.event.rss_source_feed  # type: ignore[attr-defined]
            found[feed] = found.get(feed, False) or not isinstance(change.event, RemovalSettled)
    return found


def _net(call: Call, feeds: Mapping[str, bool], device: str) -> Changed:
    """Return each feed once, in its present state, without those for whose removal this device awaits an
    answer. A settled removal concerns only the device that had asked for it."""
    stream = state_of(call.user_id)
    stream.fetch({"subscriptions": tuple(feeds), "held_removals": tuple(feeds)})
    changed = Changed([], [])
    for feed, is_changed in feeds.items():
        known, held = stream.user.subscriptions.get(feed), stream.user.held_removals.get(feed)
        is_own = held is not None and held.device == device
        if known is None or not (is_changed or is_own):
            continue
        if not known.active:
            changed.remove.append(feed)
        elif not (is_own and unfollowing.is_held(held, known)):
            changed.add.append(feed)
    return changed


def _without_moves(call: Call, changed: Changed, device: str, after: int) -> Changed:
    """Leave out feeds that moved and that the device knows by the old address: they remain the same to it.
    One feed removed and another added would cost the device its downloads."""
    spelt = Spellings(call.user_id, device)
    spelt.look_up(changed.remove)
    if not spelt.moved:
        return changed
    later = changes.since(call.user_id, after, LAST_VERSION, (UserSubscribed,), MOST_CHANGES)
    unknown = {change.event.rss_source_feed for change in later}  # type: ignore[attr-defined]
    moved = {old: new for old, new in spelt.moved.items() if old not in unknown}
    same = {old: new for old, new in moved.items() if spelt.has_old(old, new)}
    orders = [
        spelt.order(call, new, {SPELLING: spelt.url_before(old)})
        for old, new in same.items()
        if not spelt.knows(new)
    ]
    if orders:
        record(call.batch(orders), origin_of(call, device))
    return Changed(
        [feed for feed in changed.add if feed not in same.values()],
        [feed for feed in changed.remove if feed not in same],
    )


def _followed(call: Call, device: str) -> list[str]:
    """Return what is followed, without the feeds for whose removal this device awaits an answer."""
    user = state_of(call.user_id).user
    held: Mapping[str, HeldRemoval] = dict(user.held_removals)
    own = {feed for feed, waits in held.items() if waits.device == device}
    return [
        feed
        for feed, known in user.subscriptions.items()
        if known.active and not (feed in own and unfollowing.is_held(held[feed], known))
    ]


def upload_changes(call: Call, device: str) -> dict[str, Any]:
    if not call.body.strip():
        raise bad("The body is empty.")
    body = call.json(dict)
    assert call.who is not None
    app_login.speak_for(call.who, device, call.cookie)
    return upload(call, device, body.get("add", []), body.get("remove", []))


def upload(call: Call, device: str, add: Any, remove: Any) -> dict[str, Any]:
    """Follow and unfollow in one append; what is not the address of a feed is left out, and listed in the
    answer."""
    if not isinstance(add, list) or not isinstance(remove, list):
        raise bad("add and remove are lists of addresses.")
    corrections = Corrections()
    skipped: list[dict[str, Any]] = []
    added = dict(_taken(add, "add", corrections, skipped))
    removed = dict(_taken(remove, "remove", corrections, skipped))
    if added.keys() & removed.keys():
        raise bad("A podcast is both added and removed.")
    moves = moves_among(call, device, added | removed, None if call.topic else corrections)
    outcome = store(call, device, added, removed, moves, also_same=False)
    _tell(call, "sent_podcasts", len(add) + len(remove), outcome, corrections)
    before = outcome.version - len(outcome.events)
    mark = marks.after_upload(call.app, before, outcome.version, marks.SUBSCRIPTIONS, call.now)
    answer: dict[str, Any] = {"timestamp": mark, "update_urls": corrections.listed()}
    return answer | ({"skipped": skipped} if skipped else {})


def store(
    call: Call, device: str, added: dict[str, str], removed: Iterable[str], moves: Moves, *, also_same: bool
) -> Outcome:
    """Record the changes in one append; what was sent by an old address stands for the feed that moved."""
    feeds = dict.fromkeys(moves.feeds.get(feed, feed) for feed in added)
    # a device that removes the old address and adds the new one has followed the move by itself
    left = (feed if feed in moves.apart else moves.feeds.get(feed, feed) for feed in removed)
    removed = [feed for feed in dict.fromkeys(left) if feed not in feeds]
    orders: list[Any] = [registration(call, device), *moves.orders]
    for feed in feeds:
        orders += [call.order(Subscribe, feed=feed), call.order(SettleRemoval, feed=feed)]
    if spelt := {feed: url for feed, url in added.items() if feed not in moves.feeds}:
        orders += Spellings(call.user_id, device).orders(call, spelt.items(), also_same=also_same)
    if _is_too_much(call, device, removed):
        active = _active(call)
        orders += [call.order(HoldRemoval, feed=feed, device=device) for feed in removed if feed in active]
    else:
        orders += [call.order(Unsubscribe, feed=feed) for feed in removed]
    return record(call.batch(orders), origin_of(call, device))


def _tell(call: Call, what: str, came: int, outcome: Outcome, corrections: Corrections) -> None:
    kinds = Counter(type(event) for event in outcome.events)
    added, removed, held = (kinds[kind] for kind in (UserSubscribed, UserUnsubscribed, RemovalHeld))
    call.tell(what, corrections.refused, came=came, added=added, removed=removed, held=held)


def _is_too_much(call: Call, device: str, removed: list[str]) -> bool:
    """Whether so many feeds are removed that the listener is asked first."""
    if not removed:
        return False
    active = _active(call)
    asked = len(active.intersection(removed))
    since = call.now - unfollowing.WHILE
    before = changes.count_recent(call.user_id, (UserUnsubscribed, RemovalHeld), device, since)
    return unfollowing.is_too_much(asked, before, len(active))


def _active(call: Call) -> set[str]:
    subscriptions = state_of(call.user_id).user.subscriptions
    return {feed for feed, known in subscriptions.items() if known.active}


def _taken(
    sent: list[Any], name: str, corrections: Corrections, skipped: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield the feeds with the addresses that were sent."""
    for index, url in enumerate(sent):
        address = feed_address(url)
        corrections.note(url, address)
        if address.kept:
            yield address.feed, url.strip()
        else:
            skipped.append({"list": name, "index": index, "reason": address.reason})


# whole lists


def read_list(call: Call, device: str, fmt: str) -> Answer:
    check_known(call, device)
    feeds = _followed(call, device)
    spelt = Spellings(call.user_id, device)
    _note_delivery(call, device, changes.extent(call.user_id, 0).head)
    call.tell("asked_list", sent=len(feeds))
    return formats.write_urls(call, [spelt.url(feed) for feed in feeds], fmt)


def read_all(call: Call, fmt: str) -> Answer:
    user = state_of(call.user_id).user
    feeds = [feed for feed, known in user.subscriptions.items() if known.active]
    call.tell("asked_list", sent=len(feeds))
    return formats.write_podcasts(call, podcasts(call, feeds), fmt)


def put_list(call: Call, device: str, fmt: str) -> None:
    """Store the whole list of a device: followed feeds that are not in it are unfollowed if the device knows
    them."""
    sent: dict[str, str] = {}
    corrections, urls = Corrections(), formats.read_urls(call, fmt)
    for url in urls:
        address = feed_address(url)
        corrections.note(url, address)
        if address.kept:
            sent[address.feed] = url.strip()
    moves = moves_among(call, device, sent, None)
    followed = {moves.feeds.get(feed, feed) for feed in sent}
    delivered = marks.place(_delivery_marks(call, device), 0).last
    spelt = Spellings(call.user_id, device)
    subscriptions = state_of(call.user_id).user.subscriptions
    missing = [feed for feed, known in subscriptions.items() if known.active and feed not in followed]
    new = _new_since(call, delivered.version) if delivered is not None else set(missing)
    removed = [feed for feed in missing if spelt.knows(feed) or feed not in new]
    outcome = store(call, device, sent, removed, moves, also_same=True)
    _tell(call, "sent_list", len(urls), outcome, corrections)


def note_device(call: Call, device: str) -> None:
    """Note that a device has called, and register it if it is new."""
    assert call.who is not None
    known = state_of(call.user_id).user.devices.get(device)
    if known is None or not known.is_known:
        record(registration(call, device), origin_of(call, device))
    app_login.speak_for(call.who, device, call.cookie)


def _delivery_marks(call: Call, device: str) -> marks.App:
    """Return the app whose marks say up to which version a device was told what is followed."""
    return marks.App(call.user_id, f"d:{key_of(device)}", True)


def _note_delivery(call: Call, device: str, version: int) -> None:
    app = _delivery_marks(call, device)
    last = marks.place(app, 0).last
    if last is None or last.version != version:
        marks.after_reading(app, marks.Place(0, last), version, True, call.now)


def _new_since(call: Call, version: int) -> set[str]:
    """Return the feeds followed since a version."""
    return set(_changed_feeds(call, version, changes.extent(call.user_id, version)))


paths = {
    r"subscriptions/{user}/{device}\.json": route(get=read_changes, post=upload_changes, put=upload_changes),
}
list_paths = {
    r"subscriptions/{user}/{device}\.{fmt}": route(get=read_list, put=put_list, post=put_list),
    r"subscriptions/{user}\.{fmt}": route(get=read_all),
}
