"""The newest action of an app for each episode, as apps with a token see it."""

from tests.api.devices import Device, document, feed, item
from tests.projecting import bring_up_to_date

AT = "2026-05-01T12:00:00Z"


def test_actions_sync_and_are_listed_by_time(phone: Device, tablet: Device) -> None:
    sent = [
        {"rss_source_feed": feed(), "rss_source_item": item(1), "action": "delete", "acted_at": AT},
        {"rss_source_feed": feed(), "guid": "two", "action": "new", "acted_at": "2026-04-01T12:00:00Z"},
    ]
    phone.post("sync", {"episode_actions": sent})
    bring_up_to_date()
    listed = document(tablet.get("episode_actions"))["episode_actions"]
    assert [(one["guid"], one["action"]) for one in listed] == [("two", "new"), ("episode-1", "delete")]
    page = document(tablet.get("episode_actions?limit=1"))
    rest = document(tablet.get(f"episode_actions?limit=1&cursor={page['next_cursor']}"))
    assert [*page["episode_actions"], *rest["episode_actions"]] == listed
    assert rest["next_cursor"] is None
