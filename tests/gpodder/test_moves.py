"""A feed that moved is one podcast to a device, whichever address the device knows."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import url_of_feed
from feeds.models import Feed
from feeds.moves import move
from jobs.moves import follow_moves
from tests.feeds.known import known_feed
from tests.gpodder.apps import PodcastApp, feed_url, play
from tests.gpodder.conftest import password_of
from tests.gpodder.nextcloud import NextcloudApp
from tests.projecting import bring_up_to_date

OLD, NEW = feed_url(1), "https://moved.example/1.xml"


def move_along() -> None:
    move(Feed.objects.get().pk, NEW, "moved", timezone.now())
    bring_up_to_date()
    assert follow_moves() == 1
    bring_up_to_date()


@pytest.fixture
def phone(phone: PodcastApp) -> PodcastApp:
    """Alice's phone, which follows the feed, and has sent and read everything."""
    known_feed(OLD)
    phone.upload_subscriptions([OLD])
    phone.upload(play(1))
    phone.subscriptions()
    return phone


def followed(user: User) -> list[str]:
    known = state_of(user.pk).user.subscriptions
    return [url_of_feed(feed) for feed, one in known.items() if one.active]


def urls(answer: dict[str, Any]) -> set[str]:
    return {action["podcast"] for action in answer["actions"]}


def test_a_device_is_told_at_its_next_upload_and_never_as_two_changes(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    since = phone.subscriptions()["timestamp"]
    desk_since = desk.subscriptions()["timestamp"]
    move_along()
    assert followed(alice) == [NEW]
    for _ in range(2):
        received = phone.subscriptions(since)
        assert (received["add"], received["remove"]) == ([], [])
    # until its next upload the phone knows the old address
    desk.upload(play(2, podcast=NEW))
    assert urls(phone.actions()) == {OLD}
    answer = phone.upload(play(3))
    assert answer["update_urls"] == [[OLD, NEW]]
    assert followed(alice) == [NEW]
    # from then on it gets the new address, for older plays as well
    assert urls(phone.actions()) == {NEW}
    assert {one["guid"] for one in phone.actions()["actions"]} == {
        "episode-1-1",
        "episode-1-2",
        "episode-1-3",
    }
    assert (phone.subscriptions(since)["add"], phone.subscriptions(since)["remove"]) == ([], [])
    # the other device learns of the move, too, when it uploads podcasts
    assert desk.subscriptions(desk_since)["remove"] == []
    assert desk.upload_subscriptions([OLD])["update_urls"] == [[OLD, NEW]]
    assert followed(alice) == [NEW]
    assert phone.actions(0, f"&podcast={NEW}") == phone.actions(0, f"&podcast={OLD}")


def test_who_goes_on_with_the_old_address_is_answered_in_it(phone: PodcastApp, alice: User) -> None:
    move_along()
    phone.upload(play(2))
    assert urls(phone.actions()) == {NEW}
    assert phone.upload(play(3))["update_urls"] == [[OLD, NEW]]
    assert urls(phone.actions()) == {OLD}
    phone.upload_subscriptions([], [OLD])
    assert followed(alice) == []


def test_who_has_found_the_new_address_itself_keeps_it(phone: PodcastApp, alice: User) -> None:
    move_along()
    phone.upload_subscriptions([NEW], [OLD])
    assert followed(alice) == [NEW]
    phone.upload_subscriptions([], [OLD])
    assert followed(alice) == [NEW]
    assert phone.subscriptions()["add"] == [NEW]


def test_who_never_knew_the_old_address_gets_the_new_one(phone: PodcastApp, alice: User) -> None:
    late = PodcastApp("alice", password_of(alice), "late")
    since = late.subscriptions()["timestamp"]
    fresh = PodcastApp("alice", password_of(alice), "fresh")
    move_along()
    assert (late.subscriptions(since)["add"], late.subscriptions(since)["remove"]) == ([], [])
    answer = fresh.subscriptions()
    assert (answer["add"], answer["remove"]) == ([NEW], [])
    assert urls(fresh.actions()) == {NEW}


def test_a_device_that_missed_both_gets_the_new_one(desk: PodcastApp, phone: PodcastApp, alice: User) -> None:
    phone.upload_subscriptions([], [OLD])
    since = desk.subscriptions()["timestamp"]
    phone.upload_subscriptions([OLD])
    move_along()
    assert desk.subscriptions(since)["add"] == [NEW]


def test_a_whole_list_by_the_old_address_leaves_nothing(phone: PodcastApp, alice: User) -> None:
    move_along()
    phone.ask("PUT", "/subscriptions/alice/phone.txt", OLD.encode())
    assert followed(alice) == [NEW]


def test_who_is_told_nothing_is_always_answered_by_the_old_address(phone: PodcastApp, alice: User) -> None:
    cloud = NextcloudApp("alice", password_of(alice), "")
    since = cloud.get("subscriptions")["timestamp"]
    cloud.get("episode_action")
    move_along()
    answer = cloud.get("subscriptions", since)
    assert (answer["add"], answer["remove"]) == ([], [])
    for number in (2, 3):
        cloud.post("episode_action", [play(number, action="PLAY")])
        assert urls(cloud.get("episode_action", 0)) == {OLD}
    assert followed(alice) == [NEW]
