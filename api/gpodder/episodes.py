"""What was done with episodes, at `/api/2/episodes`: plays, downloads and deletions, in the order of
arrival."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from django.http import HttpResponse, StreamingHttpResponse
from msgspec.structs import replace

from api.answers import record
from api.errors import ApiError
from api.gpodder import marks
from api.gpodder.access import Answer, Call, bad, route, since_of
from api.gpodder.addresses import Spellings, feed_address, moves_among
from api.gpodder.delivery import Writer, ascii_json, newest
from api.gpodder.devices import check_known, origin_of, registration
from eventstore import changes
from eventstore.dispatcher import Outcome
from eventstore.domain.episode_actions import EpisodeActionRecorded
from eventstore.domain.plays import PlayRecorded, RecordPlay
from feeds.actions import Order, Reading
from feeds.queries import addresses_of

MOST_ACTIONS: Final = 50_000
# limit of actions in one answer; the rest comes with the next
MOST_SENT: Final = 100_000
CHUNK: Final = 5_000


def upload(call: Call, version: int = 2) -> dict[str, Any]:
    """Record actions in one append; entries that are no actions are left out, and listed in the answer."""
    if not call.body.strip():
        raise bad("The body is empty.")
    sent = call.json(list)
    if len(sent) > MOST_ACTIONS:
        raise ApiError(413, "too_many_entries", f"At most {MOST_ACTIONS:,} actions go into one request.")
    reading = Reading(call.user_id, call.now, in_words=version == 1)
    orders = reading.orders(sent)
    assert call.who is not None
    devices = dict.fromkeys(order.device for order in orders if order.device)
    device = next(iter(devices), "") if len(devices) == 1 else call.who.device
    registered = [registration(call, name) for name in devices]
    moves = moves_among(call, device, reading.podcasts, None if call.topic else reading.corrections)
    if moves.feeds:
        orders = [replace(order, feed=moves.feeds.get(order.feed, order.feed)) for order in orders]
    outcome = record(call.batch((*registered, *moves.orders, *orders)), origin_of(call, device))
    _tell_upload(call, orders, outcome, reading)
    before = outcome.version - len(outcome.events)
    mark = marks.after_upload(call.app, before, outcome.version, marks.EPISODES, call.now)
    answer: dict[str, Any] = {"timestamp": mark, "update_urls": reading.corrections.listed()}
    return answer | ({"skipped": reading.skipped} if reading.skipped else {})


def _tell_upload(call: Call, orders: list[Order], outcome: Outcome, reading: Reading) -> None:
    plays = sum(isinstance(order, RecordPlay) for order in orders)
    new = sum(isinstance(event, PlayRecorded | EpisodeActionRecorded) for event in outcome.events)
    counts = {"plays": plays, "others": len(orders) - plays, "new": new, "known": len(orders) - new}
    call.tell("sent_actions", reading.left_out, **counts)


def read(call: Call, version: int = 2) -> Answer:
    """Return every action since a mark; with ``aggregated``, only the newest of each episode."""
    device = call.query.get("device", "")
    if device:
        check_known(call, device)
    assert call.who is not None
    spellings = Spellings(call.user_id, device or call.who.device)
    writer = Writer(spellings, in_words=version == 1, device=device, feeds=_feeds(call))
    return written(call, writer, aggregated=call.query.get("aggregated") == "true")


def written(call: Call, writer: Writer, *, aggregated: bool = False) -> Answer:
    """Answer with what a writer makes of the changes since a mark."""
    found = marks.place(call.app, since_of(call))
    extent = changes.extent(call.user_id, found.version)
    place = marks.within(call.app, found, extent.head)
    batches = _batches(call, place.version, extent, writer, aggregated)

    def mark(version: int, has_news: bool) -> int:
        return marks.after_reading(call.app, place, version, has_news, call.now)

    return _answered(call, mark, batches, extent.head)


def _answered(call: Call, mark: Any, batches: Iterator[tuple[int, list[Any]]], head: int) -> Answer:
    """Answer with the actions of batches, each with the version up to which it goes; streamed if there are
    many."""
    actions: list[Any] = []
    for version, some in batches:
        actions += some
        if len(actions) >= CHUNK:
            streamed = _streamed(call, mark, version, actions, batches, head)
            return StreamingHttpResponse(streamed, content_type="application/json")
    call.tell("asked_actions", sent=len(actions))
    content = b'{"actions":%b,"timestamp":%d}' % (ascii_json(actions), mark(head, bool(actions)))
    return HttpResponse(content, content_type="application/json")


def _streamed(
    call: Call,
    mark: Any,
    version: int,
    actions: list[Any],
    batches: Iterator[tuple[int, list[Any]]],
    head: int,
) -> Iterator[bytes]:
    sent = len(actions)
    yield b'{"actions":' + ascii_json(actions)[:-1]
    while sent < MOST_SENT:
        following = next(batches, None)
        if following is None:
            version = head
            break
        version, actions = following
        sent += len(actions)
        if actions:
            yield b"," + ascii_json(actions)[1:-1]
    call.tell("asked_actions", sent=sent)
    yield b'],"timestamp":%d}' % mark(version, True)


def _batches(
    call: Call, after: int, extent: changes.Extent, writer: Writer, aggregated: bool
) -> Iterator[tuple[int, list[Any]]]:
    if after >= extent.head:
        return
    if aggregated and after == 0 and not writer.device:
        yield extent.head, list(writer.of_state(call.user_id))
        return
    batches = _batches_of_log(call, after, extent, writer)
    if aggregated:
        yield extent.head, newest(action for _, some in batches for action in some)
        return
    yield from batches


def _batches_of_log(
    call: Call, after: int, extent: changes.Extent, writer: Writer
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the actions in the log; for the time before it, the newest actions of each episode."""
    begins_anew = after == 0
    if not extent.is_whole and (kept := changes.checkpoint(call.user_id)) is not None and kept[0] > after:
        after, begins_anew = kept[0], True
        yield after, list(writer.of_checkpoint(kept[1]))
    while after < extent.head:
        found = changes.since(call.user_id, after, extent.head, marks.EPISODES, CHUNK)
        after = found[-1].version if len(found) == CHUNK else extent.head
        winners = () if begins_anew else writer.of_winners(call.user_id, found)
        yield after, [*writer.of_changes(found), *winners]


def _feeds(call: Call) -> list[str] | None:
    """Return the podcast that is asked for, by all its addresses: None if none is, [] if its address is
    invalid."""
    podcast = call.query.get("podcast", "")
    if not podcast:
        return None
    address = feed_address(podcast)
    return addresses_of(address.feed) if address.kept else []


def view(version: int) -> Any:
    return route(get=partial(read, version=version), post=partial(upload, version=version))


paths = {r"episodes/{user}\.json": view(2)}
paths_of_1 = {r"episodes/{user}\.json": view(1)}
