"""How long a listener heard, as apps read it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from accounts.models import User
from tests.api.devices import Device, document, faults, feed, item, play
from tests.projecting import bring_up_to_date

# two days ago at 22:50 UTC: in the past, and never at a change of day between two tests
YESTERDAY = datetime.now(UTC).replace(hour=22, minute=50, second=0, microsecond=0) - timedelta(days=2)


def hear(device: Device, at: datetime, start: int, seconds: int, **more: Any) -> None:
    played = more.pop("played", False)
    sent = (at, start, False), (at + timedelta(seconds=seconds), start + seconds, played)
    for when, position, is_played in sent:
        body = play(position=position, played=is_played, played_at=when.isoformat(), **more)
        assert device.post("plays", body).status_code == 200


def summed(device: Device, query: str = "") -> dict[str, Any]:
    bring_up_to_date()
    answer = device.get("statistics" + query)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = document(answer)
    return found


def rows(device: Device, by: str) -> dict[str, tuple[int, int]]:
    listed = summed(device, f"?by={by}")["rows"]
    return {
        row["key"]: (row["seconds"], row["episodes_finished"])
        for row in listed
        if row["seconds"] or row["episodes_finished"]
    }


def test_seconds_and_finished_episodes_by_everything(phone: Device, tablet: Device, alice: User) -> None:
    hear(phone, YESTERDAY, 0, 1200, played=True)
    hear(
        tablet, YESTERDAY + timedelta(seconds=600), 0, 1200, rss_source_item=item(2), rss_source_feed=feed(2)
    )
    found = summed(phone)
    assert (found["seconds"], found["episodes_finished"], found["time_zone"]) == (1800, 1, "UTC"), "once"
    assert len(found["rows"]) == 30
    day, weekday = YESTERDAY.date(), YESTERDAY.isoweekday()
    assert rows(phone, "day") == {str(day): (1800, 1)}
    assert rows(phone, "hour") == {"22": (600, 0), "23": (1200, 1)}
    assert rows(phone, "weekday") == {str(weekday): (1800, 1)}
    assert sum(seconds for seconds, _ in rows(phone, "podcast").values()) == 1800
    assert set(rows(phone, "device")) == {"Alice's phone", "Alice's tablet"}
    # in a time zone with an offset of half an hour, where it is the next day
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Kolkata")
    assert rows(phone, "hour") == {"4": (1800, 1)}
    assert rows(phone, "day") == {str(day + timedelta(days=1)): (1800, 1)}


def test_what_is_removed_leaves_the_sums_and_nobody_else_sees_any(phone: Device, bobs: Device) -> None:
    hear(phone, YESTERDAY, 0, 60)
    hear(phone, YESTERDAY + timedelta(hours=1), 0, 90, rss_source_feed=feed(2))
    assert summed(phone)["seconds"] == 150
    assert summed(bobs)["seconds"] == 0
    assert phone.post("removals", {"feed": feed(2)}).status_code == 200
    assert summed(phone)["seconds"] == 60


def test_an_export_carries_the_sums_to_another_account(phone: Device, bobs: Device) -> None:
    hear(phone, YESTERDAY, 0, 60, played=True)
    bring_up_to_date()
    export = document(phone.get("export?events=false"))
    assert export["listening"][0]["heard"][0]["seconds"] == 60
    assert document(bobs.post("import", export))["recorded"] > 0
    found = summed(bobs)
    assert (found["seconds"], found["episodes_finished"]) == (60, 1)
    assert document(bobs.post("import", export))["recorded"] == 0, "the second time"
    assert document(phone.post("import", export))["recorded"] == 0
    assert summed(phone)["seconds"] == 60


def test_an_import_of_what_cannot_have_been_heard_is_refused(bobs: Device) -> None:
    good: dict[str, Any] = {
        "device": "x",
        "at": "2026-05-01T12:00:00Z",
        "starts_at": "2026-05-01T11:00:00Z",
        "position": 60,
    }
    bad: list[tuple[dict[str, Any], str]] = [
        ({"seconds": 10_801}, "listening.0.heard.0.seconds"),
        ({"seconds": 60, "at": "2100-05-01T12:00:00Z"}, "listening.0.heard.0.at"),
        ({"seconds": -1}, "listening.0.heard.0.seconds"),
        ({"seconds": 60, "starts_at": "2026-05-01T12:00:00Z"}, "listening.0.heard.0.starts_at"),
        ({"seconds": 60, "starts_at": None}, "listening.0.heard.0.starts_at"),
        ({"seconds": 60, "position": -1}, "listening.0.heard.0.position"),
    ]
    for change, place in bad:
        heard = [{**good, **change}]
        listening = [{"rss_source_feed": feed(), "rss_source_item": item(), "heard": heard}]
        answer = bobs.post("import", {"format": "balados-export", "version": 1, "listening": listening})
        assert list(faults(answer)) == [place], change


def test_every_fault_is_named(phone: Device) -> None:
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=3))
    for query, expected in {
        "?by=year": {"by": "invalid"},
        f"?from=1999-12-31&to={tomorrow}": {"from": "out_of_range", "to": "out_of_range"},
        "?from=x&to=2026-02-30&by=": {"from": "invalid", "to": "invalid", "by": "invalid"},
        "?from=2026-05-02&to=2026-05-01": {"from": "reversed"},
        "?from=2025-01-01&to=2026-01-02": {"from": "too_long"},
    }.items():
        assert faults(phone.get("statistics" + query)) == expected, query
    assert phone.get("statistics?from=2025-01-01&to=2026-01-01").status_code == 200, "366 days"
