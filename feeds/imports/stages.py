"""The stages of an import, in this order: devices, podcasts, episodes, settings, favourites.

Each stage can be resumed where it stopped. Existing data is not changed: what comes from another server
carries its own timestamp, or that of the start of the import.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from accounts.import_models import SHORT_LEASE, ServerImport
from eventstore import dispatcher
from eventstore.domain import episode_actions, plays
from eventstore.domain.devices import DeviceRegistered, RegisterDevice
from eventstore.domain.episode_actions import EpisodeActionRecorded
from eventstore.domain.identifiers import episode_key
from eventstore.domain.plays import PlayRecorded, RecordPlay
from eventstore.domain.subscriptions import Subscribe, UserSubscribed
from eventstore.domain.user import User
from feeds.actions import DEVICE, Order, Reading
from feeds.imports import answers, settings
from feeds.imports.client import ServerFault, ask
from feeds.imports.detect import NEXTCLOUD, detect
from feeds.imports.lists import MOST_DEVICES, MOST_FEEDS, followed, in_pieces
from feeds.imports.progress import Stage
from feeds.imports.run import Run
from feeds.spelling import feed_address

FEEDS_AT_ONCE: Final = 1_000
ACTIONS_AT_ONCE: Final = 2_000
# the timestamp of actions without one: it makes repeated actions recognisable, and is older than any real one
UNTIMED: Final = datetime(1970, 1, 1, tzinfo=UTC)


def look(run: Run) -> None:
    row = run.row
    earlier = ServerImport.objects.filter(user_id=row.user_id, server=row.server, name=row.name, error="")
    run.progress.is_again = earlier.exclude(ended_at=None).exists()
    run.progress.flavour = detect(run.account)


def bring_devices(run: Run) -> None:
    """Import devices that are not known here, and were not removed here."""
    if run.progress.flavour != "gpodder":
        return
    body = ask(run.account, f"/api/2/devices/{run.account.user}.json")
    found: dict[str, answers.RemoteDevice] = {}
    for number, device in enumerate(answers.devices(body)[:MOST_DEVICES], 1):
        if isinstance(device.id, str) and DEVICE.fullmatch(device.id):
            found.setdefault(device.id, device)
        else:
            run.progress.refuse("devices", number, device.id, "device_name")

    def orders() -> Iterator[Any]:
        known = _known(run, "devices", found)
        for device in found.values():
            if device.id not in known:
                yield run.order(RegisterDevice, device=device.id, caption=device.caption, type=device.type)

    run.record("devices", body, orders, DeviceRegistered, len(found))


def bring_podcasts(run: Run) -> None:
    """Import the subscriptions of all devices as one list."""
    found: dict[str, None] = {}
    for number, url in enumerate(followed(run), 1):
        address = feed_address(url)
        if not address.kept:
            run.progress.refuse("podcasts", number, url, address.reason)
        elif len(found) >= MOST_FEEDS and address.feed not in found:
            run.progress.refuse("podcasts", number, url, "too_many")
        else:
            found[address.feed] = None
    run.progress.expected = len(found) + run.progress.part.refused
    for feeds in in_pieces(list(found), FEEDS_AT_ONCE):
        _follow(run, feeds)
        run.keep()


def _follow(run: Run, feeds: Sequence[str]) -> None:
    def orders() -> Iterator[Any]:
        known = _known(run, "subscriptions", feeds)
        for feed in feeds:
            if feed not in known or not known[feed].active:
                yield run.order(Subscribe, feed=feed)

    run.record("podcasts", "\n".join(feeds).encode(), orders, UserSubscribed, len(feeds))


def bring_episodes(run: Run) -> None:
    """Import all actions, page by page, until the server sends nothing more, or the same page again."""
    progress = run.progress
    while True:
        page = _page(run)
        digest = blake2b(b"".join(map(bytes, page.actions)), digest_size=16).hexdigest()
        if not page.actions or digest == progress.page:
            return
        progress.begin_part()
        first = progress.done("episodes")
        progress.expected = first + len(page.actions)
        for place, raw in enumerate(in_pieces(page.actions, ACTIONS_AT_ONCE)):
            _record_actions(run, raw, first + place * ACTIONS_AT_ONCE)
            run.keep(SHORT_LEASE)
        progress.settle_part("episodes")
        is_last = page.timestamp is None or page.timestamp <= progress.since
        progress.since, progress.page = page.timestamp or progress.since, digest
        run.keep()
        if is_last:
            return


def _page(run: Run) -> answers.Page:
    """Request the next page; if the whole history is too large, only the newest action of each episode.
    Raises ``ServerFault``."""
    account, progress = run.account, run.progress
    if progress.flavour == "nextcloud":
        return answers.page(ask(account, f"{NEXTCLOUD}/episode_action?since={progress.since}"))
    path = f"/api/2/episodes/{account.user}.json?since={progress.since}"
    if not progress.is_short:
        try:
            return answers.page(ask(account, path))
        except ServerFault as fault:
            if fault.code != "too_large":
                raise
            progress.is_short = True
    return answers.page(ask(account, f"{path}&aggregated=true"))


def _record_actions(run: Run, raw: Sequence[msgspec.Raw], before: int) -> None:
    sent = list(answers.actions(raw))
    reading = Reading(run.user_id, run.clock(), untimed=UNTIMED)
    orders = reading.orders(sent)
    for skipped in reading.skipped:
        place = skipped["index"]
        run.progress.refuse("episodes", before + place + 1, _shown(sent[place]), skipped["reason"])
    counted = (PlayRecorded, EpisodeActionRecorded)
    run.record("episodes", b"\n".join(map(bytes, raw)), lambda: _news(run, orders), counted, len(orders))


def _shown(action: Any) -> Any:
    return (action.get("episode") or action.get("podcast")) if isinstance(action, dict) else action


def _news(run: Run, orders: list[Order]) -> Iterator[Any]:
    """Yield the actions that may be new, and commands that register unknown devices."""
    devices = dict.fromkeys(order.device for order in orders if order.device)
    known = _known(run, "devices", devices)
    yield from (run.order(RegisterDevice, device=device) for device in devices if device not in known)
    if not run.progress.is_again:
        yield from orders
        return
    state = dispatcher.state_of(run.user_id)
    names = tuple(dict.fromkeys(episode_key(order.feed, order.item) for order in orders))
    state.fetch({"plays": names, "episode_actions": names})
    yield from (order for order in orders if not _was_here(order, state.user))


def _known(run: Run, topic: str, keys: Iterable[str]) -> Any:
    """Return the current state of these keys, read in one query."""
    state = dispatcher.state_of(run.user_id)
    state.fetch({topic: tuple(keys)})
    return getattr(state.user, topic)


def _was_here(order: Order, user: User) -> bool:
    """Whether an action is older than everything remembered of its episode. Only recent actions are
    remembered; since the same account was imported before, an older action was part of that import."""
    key = episode_key(order.feed, order.item)
    assert order.at is not None
    if isinstance(order, RecordPlay):
        return plays.REGISTER.is_before_memory(user.plays.get(key), order.at)
    return episode_actions.REGISTER.is_before_memory(user.episode_actions.get(key), order.at)


# each stage with the one that follows it
STAGES: Final[dict[Stage, tuple[Callable[[Run], None], Stage]]] = {
    "looking": (look, "devices"),
    "devices": (bring_devices, "podcasts"),
    "podcasts": (bring_podcasts, "episodes"),
    "episodes": (bring_episodes, "settings"),
    "settings": (settings.bring_settings, "favourites"),
    "favourites": (settings.bring_favourites, "done"),
}
