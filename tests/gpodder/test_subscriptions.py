"""Podcasts that each device follows: changes since a mark, whole lists, and too many removals at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import User
from eventstore import dispatcher, log
from eventstore.dispatcher import dispatch, state_of
from eventstore.domain import unfollowing
from eventstore.domain.messages import Origin
from jobs import tasks
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from tests.gpodder.apps import PodcastApp, content_of, feed_url, play
from tests.jobs.working import read_models, run_worker
from tests.projecting import bring_up_to_date

FEEDS = [feed_url(number) for number in range(1, 4)]
LIST = "/subscriptions/alice/{}.{}"


def followed(user: User) -> int:
    return sum(known.active for known in state_of(user.pk).user.subscriptions.values())


def test_what_one_device_follows_another_is_told_once(phone: PodcastApp, desk: PodcastApp) -> None:
    assert phone.subscriptions()["add"] == []
    since = desk.subscriptions()["timestamp"]
    phone.upload_subscriptions(FEEDS)
    answer = desk.subscriptions(since)
    assert (sorted(answer["add"]), answer["remove"]) == (FEEDS, [])
    again = desk.subscriptions(answer["timestamp"])
    assert (again["add"], again["remove"]) == ([], [])
    assert again["timestamp"] == answer["timestamp"]
    # one app adds one to the mark that it was given
    assert desk.subscriptions(answer["timestamp"] + 1)["add"] == []


def test_what_comes_twice_records_nothing(phone: PodcastApp, alice: User) -> None:
    phone.upload_subscriptions(FEEDS)
    before = state_of(alice.pk).version
    phone.upload_subscriptions(FEEDS)
    phone.upload_subscriptions([], ["https://example.org/unknown.xml"])
    assert state_of(alice.pk).version == before


def test_the_net_of_what_changed_is_told(phone: PodcastApp, desk: PodcastApp) -> None:
    since = desk.subscriptions()["timestamp"]
    phone.upload_subscriptions(FEEDS[:2])
    phone.upload_subscriptions([], FEEDS[:1])
    answer = desk.subscriptions(since)
    assert (answer["add"], answer["remove"]) == (FEEDS[1:2], FEEDS[:1])


def test_who_begins_is_told_of_no_removal(phone: PodcastApp, desk: PodcastApp) -> None:
    phone.upload_subscriptions(FEEDS)
    phone.upload_subscriptions([], FEEDS[:1])
    answer = desk.subscriptions(0)
    assert (sorted(answer["add"]), answer["remove"]) == (FEEDS[1:], [])


def test_its_own_are_not_sent_back_unless_others_came_between(phone: PodcastApp, desk: PodcastApp) -> None:
    phone.subscriptions()
    since = phone.subscriptions()["timestamp"]
    mark = phone.upload_subscriptions(FEEDS[:1])["timestamp"]
    assert phone.subscriptions(mark)["add"] == []
    assert phone.subscriptions(since)["add"] == []
    desk.upload_subscriptions(FEEDS[1:2])
    mark = phone.upload_subscriptions(FEEDS[2:])["timestamp"]
    assert FEEDS[1] in phone.subscriptions(mark)["add"]


def test_a_bad_address_is_named_and_stops_no_other(phone: PodcastApp) -> None:
    bad: list[Any] = [
        17,
        None,
        {},
        "antennapod_local:x",
        "https://a:b@example.org/f",
        "https://e.org/" + "x" * 3_000,
        "https://e.org/" + "y" * 20_000,
    ]
    answer = phone.upload_subscriptions([FEEDS[0], *bad, " HTTPS://Example.org:443/2.xml#x"])
    assert [one["reason"] for one in answer["skipped"]] == [
        "not_a_string",
        "not_a_string",
        "not_a_string",
        "scheme",
        "credentials",
        "too_long",
        "too_long",
    ]
    assert answer["update_urls"] == [
        ["antennapod_local:x", ""],
        ["https://e.org/" + "x" * 3_000, ""],
        ["https://e.org/" + "y" * 20_000, ""],
        [" HTTPS://Example.org:443/2.xml#x", "https://example.org/2.xml"],
    ]
    assert sorted(phone.subscriptions()["add"]) == sorted([FEEDS[0], "HTTPS://Example.org:443/2.xml#x"])


def test_a_device_is_answered_in_its_own_spelling(phone: PodcastApp, desk: PodcastApp) -> None:
    usual, own = "https://example.org/a%3Ab.xml", "https://Example.org/a%3Ab.xml"
    desk.upload_subscriptions([usual])
    phone.upload_subscriptions([own])
    since = phone.subscriptions()["timestamp"]
    assert phone.subscriptions()["add"] == [own]
    assert desk.subscriptions()["add"] == [usual]
    desk.upload_subscriptions([], [usual])
    assert phone.subscriptions(since)["remove"] == [own]


TWICE = b'{"add":["https://a.example/"],"remove":["https://A.example"]}'
BAD = [
    b"",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"{",
    b"\xff",
    b'{"add":"x"}',
    b'{"add":NaN}',
    b'{"add":["\0"]}',
    TWICE,
]


# the same name twice, also where there are no more colons after quotes than names
NAMED_TWICE = [
    b'{"add":[],"add":[]}',
    b'{"add":[],"add" : []}',
    rb'{"add":[],"\u0061dd":[]}',
    rb'{"add":[],"add" :[],"remove":["\":"]}',
]


@pytest.mark.parametrize("body", [*BAD, *NAMED_TWICE])
def test_what_is_no_upload_is_refused(phone: PodcastApp, body: bytes) -> None:
    answer = phone.ask("POST", "/api/2/subscriptions/alice/phone.json", body)
    assert answer.status_code == 400
    assert answer["Cache-Control"] == "no-store"


def test_a_body_is_nested_twenty_deep_and_no_more(phone: PodcastApp) -> None:
    path = "/api/2/settings/alice/account.json"
    # nesting consists of the body, "set", and these lists
    deepest = b'{"set":{"a":' + b"[" * 18 + b"]" * 18 + b"}}"
    assert phone.ask("POST", path, deepest).status_code == 200
    for body in (
        b'{"set":{"a":' + b"[" * 19 + b"]" * 19 + b"}}",
        b'{"a":' * 21 + b"1" + b"}" * 21,
        b"[" * 5_000 + b"]" * 5_000,
        b"[" * 16_000_000,
    ):
        assert phone.ask("POST", path, body).status_code == 400


@pytest.mark.parametrize("since", ["x", "-1", "+1", "1.5", "1" * 19, "٣"])
def test_what_is_no_mark_is_refused(phone: PodcastApp, since: str) -> None:
    for path in ("subscriptions/alice/phone.json", "episodes/alice.json"):
        assert phone.ask("GET", f"/api/2/{path}?since={since}").status_code == 400


@pytest.mark.parametrize("since", ["", "999999999999999999", "7"])
def test_any_other_number_is_taken(phone: PodcastApp, since: str) -> None:
    phone.upload_subscriptions(FEEDS)
    answer = phone.json("GET", f"/api/2/subscriptions/alice/phone.json?since={since}")
    assert sorted(answer["add"]) == (FEEDS if len(since) < 9 else [])
    assert answer["timestamp"] < 2**31


# whole lists


@pytest.mark.parametrize("fmt", ["txt", "json", "opml"])
def test_a_list_comes_back_as_it_went(phone: PodcastApp, fmt: str) -> None:
    phone.upload_subscriptions(FEEDS)
    content = content_of(phone.ask("GET", LIST.format("phone", fmt)))
    assert phone.ask("PUT", LIST.format("other", fmt), content).status_code == 200
    assert content_of(phone.ask("PUT", LIST.format("phone", fmt), content)) == b""
    assert sorted(phone.subscriptions()["add"]) == FEEDS


def test_a_new_devices_list_removes_nothing_and_its_next_what_it_had(
    phone: PodcastApp, desk: PodcastApp
) -> None:
    phone.upload_subscriptions(FEEDS[:2])
    desk.ask("PUT", LIST.format("desk", "json"), FEEDS[1:])
    assert sorted(phone.subscriptions()["add"]) == FEEDS
    desk.ask("PUT", LIST.format("desk", "json"), FEEDS[2:])
    assert sorted(phone.subscriptions()["add"]) == [FEEDS[0], FEEDS[2]]
    # the device has read the whole list, and therefore knows all of it
    desk.ask("GET", LIST.format("desk", "txt"))
    desk.ask("PUT", LIST.format("desk", "txt"), FEEDS[2].encode())
    assert phone.subscriptions()["add"] == FEEDS[2:]


def test_lists_in_every_format(phone: PodcastApp) -> None:
    phone.upload_subscriptions(FEEDS)
    for path, kind in (
        ("/subscriptions/alice/phone.txt", "text/plain; charset=utf-8"),
        ("/subscriptions/alice/phone.xml", "application/xml"),
        ("/subscriptions/alice.opml", "text/x-opml+xml"),
        ("/subscriptions/alice.json", "application/json"),
        ("/subscriptions/alice.jsonp?jsonp=f", "text/javascript; charset=utf-8"),
    ):
        answer = phone.ask("GET", path)
        assert (answer.status_code, answer["Content-Type"]) == (200, kind)
        assert all(url.encode() in content_of(answer) for url in FEEDS)
    for path in (
        "/subscriptions/alice.csv",
        "/subscriptions/alice.jsonp",
        "/subscriptions/alice.jsonp?jsonp=a%3Cb",
        "/subscriptions/alice.jsonp?jsonp=" + "x" * 65,
    ):
        assert phone.ask("GET", path).status_code == 400, path
    assert phone.ask("GET", "/subscriptions/alice/unknown.txt").status_code == 404
    bad = b'<!DOCTYPE x [<!ENTITY a "b">]><opml>&a;</opml>'
    assert phone.ask("PUT", "/subscriptions/alice/phone.opml", bad).status_code == 400
    assert phone.ask("PUT", "/subscriptions/alice/phone.opml", b"nothing").status_code == 400
    lines = "\n".join(FEEDS[:1] * 50_000)
    for text, status in ((lines, 200), (f"{lines}\n{FEEDS[0]}", 400), (b"\xff", 400)):
        raw = text if isinstance(text, bytes) else text.encode()
        assert phone.ask("PUT", "/subscriptions/alice/phone.txt", raw).status_code == status


# too many removals at once


def held(phone: PodcastApp, count: int, of: int) -> list[str]:
    urls = [feed_url(number) for number in range(of)]
    phone.upload_subscriptions(urls)
    phone.upload_subscriptions([], urls[:count])
    return urls[:count]


def test_a_device_that_unfollows_too_much_is_not_followed_at_once(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    since = desk.subscriptions()["timestamp"]
    gone = held(phone, 11, 20)
    assert followed(alice) == 20
    answer = desk.subscriptions(since)
    assert (len(answer["add"]), answer["remove"]) == (20, [])
    # the device that unfollowed them does not get them back
    assert not set(phone.subscriptions()["add"]) & set(gone)
    since = phone.subscriptions()["timestamp"]
    keys = [key for key, one in state_of(alice.pk).user.held_removals.items() if one.is_held]
    dispatch(unfollowing.discard(alice.pk, keys, alice.date_joined + timedelta(days=1)), Origin())
    assert sorted(phone.subscriptions(since)["add"]) == sorted(gone)
    assert desk.subscriptions(answer["timestamp"])["add"] == []


def test_what_is_confirmed_goes(phone: PodcastApp, desk: PodcastApp, alice: User) -> None:
    gone = held(phone, 11, 20)
    since = desk.subscriptions()["timestamp"]
    keys = [key for key, one in state_of(alice.pk).user.held_removals.items() if one.is_held]
    dispatch(unfollowing.confirm(alice.pk, keys, alice.date_joined + timedelta(days=1)), Origin())
    assert sorted(desk.subscriptions(since)["remove"]) == sorted(gone)
    assert followed(alice) == 9


def test_what_nobody_answers_for_two_weeks_goes_on(phone: PodcastApp, alice: User) -> None:
    gone = held(phone, 11, 20)
    phone.subscriptions()
    since = phone.subscriptions()["timestamp"]
    bring_up_to_date()
    assert tasks.settle_removals() == 0
    with connections["projections"].cursor() as cursor:
        cursor.execute("UPDATE users.held_removals SET held_at = held_at - interval '15 days'")
    assert tasks.settle_removals() == 11
    assert sorted(phone.subscriptions(since)["add"]) == sorted(gone)
    assert followed(alice) == 20


@pytest.mark.parametrize("confirmed", [True, False])
def test_what_is_held_outlives_the_events_that_said_so(
    phone: PodcastApp, desk: PodcastApp, alice: User, confirmed: bool
) -> None:
    """Retention deletes the events, but the checkpoint, the read models and their rebuild keep the facts."""
    gone = held(phone, 11, 20)
    since = phone.subscriptions()["timestamp"]
    assert run_worker().events_deleted
    dispatcher.clear_cache()
    live = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == live
    keys = [key for key, one in state_of(alice.pk).user.held_removals.items() if one.is_held]
    assert len(keys) == 11
    assert followed(alice) == len(desk.subscriptions()["add"]) == 20
    assert not set(phone.subscriptions(since)["add"]) & set(gone)
    answer = unfollowing.confirm if confirmed else unfollowing.discard
    dispatch(answer(alice.pk, keys, timezone.now()), Origin())
    assert followed(alice) == (9 if confirmed else 20)
    assert set(gone) & set(phone.subscriptions(since)["add"]) == (set() if confirmed else set(gone))
    # settled removals are deleted, too, once nobody needs them any more
    assert run_worker(log.database_time() + timedelta(days=46)).events_deleted
    assert state_of(alice.pk).read_whole().held_removals == {}
    assert followed(alice) == (9 if confirmed else 20)


def test_little_goes_at_once_but_not_time_and_again(phone: PodcastApp, alice: User) -> None:
    held(phone, 10, 12)
    assert followed(alice) == 2
    phone.upload_subscriptions([], [feed_url(11)])
    assert followed(alice) == 2


def test_what_a_device_follows_again_is_held_no_longer(phone: PodcastApp, alice: User) -> None:
    gone = held(phone, 11, 20)
    phone.upload_subscriptions(gone[:1])
    held_now = [key for key, one in state_of(alice.pk).user.held_removals.items() if one.is_held]
    assert len(held_now) == 10


@pytest.mark.parametrize("spelt", ["f?u=https:%2F%2Fx.example%2F1", "f?u=https://x.example/1"])
def test_an_address_that_an_app_has_decoded_is_the_podcast_that_is_followed(
    phone: PodcastApp, desk: PodcastApp, spelt: str
) -> None:
    usual, own = "https://example.org/f?u=https%3A%2F%2Fx.example%2F1", f"https://example.org/{spelt}"
    desk.upload_subscriptions([usual])
    assert phone.subscriptions()["add"] == [usual]
    phone.upload(play(1, podcast=own))
    assert [action["podcast"] for action in desk.actions()["actions"]] == [usual]
    assert phone.upload_subscriptions([own])["update_urls"] == []
    assert phone.subscriptions()["add"] == [own]
    since = desk.subscriptions()
    assert since["add"] == [usual]
    phone.upload_subscriptions(remove=[own])
    assert desk.subscriptions(since["timestamp"])["remove"] == [usual]
    # now that nobody follows the usual spelling, this one is a podcast of its own
    phone.upload_subscriptions([own])
    assert desk.subscriptions()["add"] == [own]
