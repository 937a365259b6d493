"""A change made elsewhere reaches every connection of its listener, in order, without gaps or repeats."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from eventstore.domain.topics import TOPICS
from live import pushes
from tests.api.devices import Device, feed, item, play
from tests.live.sockets import Gateway, Socket

Connect = Callable[..., Socket]


def positions(push: dict[str, Any]) -> list[int]:
    assert push["type"] == "changes", push
    return [entry["position"] for entry in push["data"]["play_statuses"]]


def test_what_another_device_does_is_pushed(connect: Connect, phone: Device, tablet: Device) -> None:
    socket = connect(phone)
    tablet.post("plays", play(position=90))
    push = socket.changes()
    assert positions(push) == [90]
    entry = push["data"]["play_statuses"][0]
    assert entry["rss_source_feed"] == feed()
    assert entry["guid"] == "episode-1"


def test_a_command_is_answered_as_by_http_and_told_to_others(
    connect: Connect, phone: Device, tablet: Device
) -> None:
    mine, other = connect(phone), connect(tablet)
    answer = mine.command("record_play", **play(position=30))
    assert (answer["type"], answer["status"]) == ("ack", 200)
    assert answer["answer"]["play_status"]["position"] == 30
    assert positions(other.changes()) == [30]
    # a connection does not receive its own changes
    mine.send({"type": "ping"})
    assert mine.receive() == {"type": "pong"}


def test_what_is_kept_for_others_is_bounded_and_what_is_longer_is_told_all_the_same(
    stores: None, phone: Device, tablet: Device
) -> None:
    with Gateway(recent_bytes=1_500) as gateway:
        socket = Socket(gateway.port)
        socket.authenticate(phone)
        playlist = str(uuid4())
        tablet.post("playlists", {"id": playlist, "name": "x" * 100})
        found = [socket.changes()["data"]["playlists"][0]]
        for number in range(1, 9):
            tablet.post(
                f"playlists/{playlist}/items", {"rss_source_feed": feed(), "rss_source_item": item(number)}
            )
            found.append(socket.changes()["data"]["playlists"][0])
        assert [len(each["items"]) for each in found] == list(range(9))
        (channel,) = gateway.live.channels._open.values()
        assert sum(push.size for push in channel._recent) <= 1_500 < len(json.dumps(found[-1]))
        socket.close()


def test_a_connection_resumes_after_a_cursor(connect: Connect, phone: Device, tablet: Device) -> None:
    socket = connect(phone)
    tablet.post("plays", play(1, position=1))
    cursor = socket.changes()["cursor"]
    socket.close()
    for number in range(2, 6):
        tablet.post("plays", play(number, position=number))
    again = connect(phone, cursor)
    found: list[int] = []
    while len(found) < 4:
        found += positions(again.changes())
    assert found == [2, 3, 4, 5]


def test_nobody_gets_what_another_listener_does(connect: Connect, phone: Device, bobs: Device) -> None:
    socket, bob = connect(phone), connect(bobs)
    bobs.post("plays", play(position=5))
    phone.post("subscriptions", {"rss_source_feed": feed()})
    other = Device(phone.user_id, device_id="tablet-1")
    other.post("plays", play(position=7))
    assert positions(socket.changes()) == [7]
    bob.send({"type": "ping"})
    assert bob.receive() == {"type": "pong"}


def test_every_topic_says_who_may_read_it_by_its_list() -> None:
    for topic in TOPICS:
        assert pushes.may_read(topic.name, frozenset({"*"})), topic.name
        assert pushes.may_read(topic.name, frozenset({"user.sync"})), topic.name
        assert not pushes.may_read(topic.name, frozenset({"user.write"})), topic.name


def test_every_item_is_found(gateway: Gateway, connect: Connect, phone: Device) -> None:
    socket = connect(phone)
    socket.command("subscribe", rss_source_feed=feed())
    socket.command("record_play", **play())
    moved = socket.command("update_position", rss_source_item=item(), position=77)
    assert moved["answer"]["play_status"]["position"] == 77
    gone = socket.command("unsubscribe", rss_source_feed=feed())
    assert gone["status"] == 200
