"""What a device's screen shows of what the device remembers."""

from tests.soak.memory import Json, Memory, Shown, is_on, members

NOON, LATER = "2026-05-01T12:00:00Z", "2026-05-01T14:00:01+02:00"
FEED = "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVk"


def subscription(on: str | None, off: str | None) -> Json:
    return {"rss_source_feed": FEED, "subscribed_at": on, "unsubscribed_at": off}


def test_the_later_time_decides_however_it_is_written() -> None:
    assert is_on(NOON, None)
    assert is_on(NOON, "2026-05-01T14:00:00+02:00")
    assert not is_on(NOON, LATER)
    assert not is_on(None, NOON)


def test_a_screen_does_not_show_what_was_left() -> None:
    memory = Memory()
    memory.remember("subscriptions", subscription(NOON, None))
    assert memory.view() == [Shown("subscriptions", FEED, True)]
    memory.remember("subscriptions", subscription(NOON, LATER))
    assert memory.view() == []
    assert list(memory.of("subscriptions")) == [FEED]


def test_members_stand_in_their_order_and_those_without_a_place_come_last() -> None:
    entries: list[Json] = [
        {"name": "c", "position": None, "added_at": NOON, "removed_at": None},
        {"name": "b", "position": 1, "added_at": NOON, "removed_at": None},
        {"name": "gone", "position": 2, "added_at": NOON, "removed_at": LATER},
        {"name": "a", "position": 0, "added_at": NOON, "removed_at": None},
    ]
    assert members(entries, "name") == ["a", "b", "c"]


def test_a_list_is_gone_while_its_deletion_is_the_later() -> None:
    playlist = {"id": "1", "name": "Mix", "is_public": False, "items": [], "updated_at": NOON}
    memory = Memory()
    memory.remember("playlists", {**playlist, "deleted_at": LATER})
    assert memory.view() == []
    memory.remember("playlists", {**playlist, "updated_at": LATER, "deleted_at": LATER})
    assert [one.what for one in memory.view()] == [("Mix", None, None, [])]
