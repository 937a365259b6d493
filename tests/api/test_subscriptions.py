"""Following feeds."""

from urllib.parse import quote

import pytest

from eventstore import log
from tests.api import hostile
from tests.api.devices import Device, b64, code_of, count_events, document, faults, feed, unharmed
from tests.projecting import bring_up_to_date

EARLY, LATE = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"


def listed(device: Device, query: str = "") -> list[str]:
    bring_up_to_date()
    return [
        entry["rss_source_feed"] for entry in document(device.get("subscriptions" + query))["subscriptions"]
    ]


def test_it_follows_a_feed(phone: Device) -> None:
    answer = phone.post(
        "subscriptions",
        {"rss_source_feed": feed(), "rss_source_id": "42", "subscribed_at": "2026-05-01T14:00:00+02:00"},
    )
    assert answer.status_code == 201
    shown = {
        "rss_source_feed": feed(),
        "feed_url": "https://example.org/1.xml",
        "rss_source_id": "42",
        "rss_feed_title": None,
        "cover": None,
        "moved_to": None,
        "enriched": None,
        "subscribed_at": "2026-05-01T12:00:00Z",
        "unsubscribed_at": None,
    }
    assert document(answer) == {"status": "success", "subscription": shown}
    bring_up_to_date()
    page = phone.get("subscriptions", Balados_Position=answer.headers["Balados-Position"])
    assert document(page) == {"subscriptions": [shown], "next_cursor": None}
    assert page.headers["Balados-Position"] == answer.headers["Balados-Position"] == str(log.head())


def test_following_again_changes_nothing(phone: Device) -> None:
    first = phone.post("subscriptions", {"rss_source_feed": feed()})
    again = phone.post("subscriptions", {"rss_source_feed": feed()})
    assert (first.status_code, again.status_code) == (201, 200)
    assert document(again) == document(first)
    assert again.headers["Balados-Position"] == first.headers["Balados-Position"]
    assert count_events("UserSubscribed") == 1


def test_a_feed_may_be_given_by_its_URL(phone: Device) -> None:
    answer = phone.post("subscriptions", {"feed_url": "HTTPS://Example.ORG:443/1.xml#top"})
    assert document(answer)["subscription"]["rss_source_feed"] == feed()


def test_both_may_be_given_where_they_agree(phone: Device) -> None:
    body = {"rss_source_feed": feed().rstrip("="), "feed_url": "https://EXAMPLE.org/1.xml"}
    assert phone.post("subscriptions", body).status_code == 201


def test_it_refuses_two_feeds_in_one(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.post(
            "subscriptions", {"rss_source_feed": feed(1), "feed_url": "https://example.org/2.xml"}
        )
        assert faults(answer) == {"feed_url": "invalid"}


@pytest.mark.parametrize("body", [{}, {"rss_source_feed": None}, {"rss_source_id": "7"}])
def test_it_asks_for_a_feed(phone: Device, body: dict[str, object]) -> None:
    with unharmed(phone):
        assert faults(phone.post("subscriptions", body)) == {"rss_source_feed": "required"}


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org/", "https://a:b@example.org/", "https://example.org/\na", 7, []],
)
def test_it_refuses_what_is_no_address_of_a_feed(phone: Device, url: object) -> None:
    with unharmed(phone):
        assert faults(phone.post("subscriptions", {"feed_url": url})) == {"feed_url": "invalid"}


def test_it_unfollows(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(), "subscribed_at": EARLY})
    answer = phone.delete(f"subscriptions/{feed()}?unsubscribed_at={LATE}")
    assert answer.status_code == 200
    assert document(answer)["subscription"]["unsubscribed_at"] == LATE
    assert answer.headers["Balados-Position"] == str(log.head())
    assert listed(phone) == []
    assert listed(phone, "?include=removed") == [feed()]


def test_an_older_leave_does_not_undo_a_newer_follow(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(), "subscribed_at": LATE})
    answer = phone.delete(f"subscriptions/{feed()}?unsubscribed_at={EARLY}")
    assert document(answer)["subscription"]["subscribed_at"] == LATE
    assert listed(phone) == [feed()]


@pytest.mark.parametrize("name", hostile.four_spellings(hostile.AWKWARD_FEED))
@pytest.mark.parametrize("encoded", [False, True], ids=["as it is", "percent-encoded"])
def test_a_path_takes_every_spelling(phone: Device, name: str, encoded: bool) -> None:
    phone.post("subscriptions", {"rss_source_feed": hostile.AWKWARD_FEED})
    answer = phone.delete("subscriptions/" + (quote(name, safe="") if encoded else name))
    assert answer.status_code == 200
    assert document(answer)["subscription"]["rss_source_feed"] == hostile.AWKWARD_FEED


def test_a_feed_that_was_never_followed_is_422(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.delete(f"subscriptions/{feed()}")
        assert (answer.status_code, code_of(answer)) == (422, "not_subscribed")


@pytest.mark.parametrize("name", ["x", "a/b/c", b64("no url"), "%FF", "%zz", "=", "aHR0cHM6//"])
def test_a_path_that_is_no_feed_is_400(phone: Device, name: str) -> None:
    with unharmed(phone):
        assert faults(phone.delete(f"subscriptions/{name}")) == {"feed": "invalid"}


def test_times_in_an_address_are_checked(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed()})
    with unharmed(phone):
        answer = phone.delete(f"subscriptions/{feed()}?unsubscribed_at=2026-05-01")
        assert faults(answer) == {"unsubscribed_at": "invalid"}


def test_a_device_a_year_ahead_does_not_win_for_ever(phone: Device, tablet: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(), "subscribed_at": "2199-01-01T00:00:00Z"})
    tablet.delete(f"subscriptions/{feed()}")
    assert listed(phone) == []


def test_the_event_says_which_app_and_device(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(), "subscribed_at": "2026-05-01T14:00:00+02:00"})
    event = log.read_all(0, 1)[0]
    for part in ('"org.example.castaway"', '"phone-1"', '"Alice\'s phone"', '"2026-05-01T12:00:00Z"'):
        assert part in event.metadata
