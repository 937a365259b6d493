"""/history/…/undo: undoing one change, or all changes of a device, after a preview."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from eventstore import log
from eventstore.dispatcher import Origin, dispatch, state_of
from eventstore.domain.playlists import DeletePlaylist, RemoveFromPlaylist
from eventstore.domain.plays import RecordPlay
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.saved import ShareEpisode
from eventstore.domain.subscriptions import Unsubscribe
from projections import queries
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, follow, hear, page_of, show
from tests.web.listing import playlist
from tests.web.people import Visitor, text_of
from tests.web.test_appearance import check, enter
from tests.web.test_history import lines
from tests.web.test_privacy_choice import undo_of
from tests.web.test_queries import MOST, counted

PHONE, DESK = Origin(None, "phone-1", "Pixel 9"), Origin(None, "desk-1", "Desk")
SINCE = "/history/undo-since"


def newest(user: User) -> str:
    """Return the id of the newest event."""
    return log.read_history(log.stream_of(user.pk), limit=1)[0].event_id


def plain(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def followed(user: User) -> list[str]:
    bring_up_to_date()
    return [row.rss_source_feed for row in queries.subscriptions(user.pk).rows]


def test_an_unfollow_is_undone_after_a_look_and_again_and_the_history_says_so(alice: User) -> None:
    feed = show(1, 0, title="Slow & Steady")
    follow(alice, feed)
    dispatch(Unsubscribe(user_id=alice.pk, now=datetime.now(UTC), feed=name_of(feed)), PHONE)
    visitor, path = Visitor(alice), f"/history/{newest(alice)}/undo"
    assert f'href="{path}"' in text_of(visitor.get("/history"))
    preview = visitor.get(path)
    text = plain(text_of(preview))
    for words in (
        "Undo this?",
        "Unfollowed · Slow &amp; Steady",
        "Followed again · Slow &amp; Steady",
        "Pixel 9",
    ):
        assert words in text
    assert followed(alice) == []
    assert visitor.send(path, {})["Location"] == "/history"
    assert followed(alice) == [name_of(feed)]
    page = text_of(visitor.get("/history"))
    assert "Undone." in page
    assert lines(page)[:2] == ["Undid: Unfollowed · Slow &amp; Steady", "Unfollowed · Slow &amp; Steady"]
    assert page.count(">undone<") == 1
    # sent twice, it is done once
    assert "is as it was before already" in text_of(visitor.send(path, {}))
    visitor.send(undo_of(page), {})
    assert followed(alice) == []
    assert lines(text_of(visitor.get("/history")))[0] == "Undid: Followed · Slow &amp; Steady"


def test_what_builds_on_it_is_listed_and_nothing_changes(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    hear(alice, episode, 60)
    event_id = newest(alice)
    later = RecordPlay(
        user_id=alice.pk,
        now=datetime.now(UTC),
        feed=name_of(episode.feed),
        item=item_name(episode),
        position=754,
        played=False,
    )
    dispatch(later, PHONE)
    visitor, head = Visitor(alice), log.head()
    page = plain(text_of(visitor.get(f"/history/{event_id}/undo")))
    for words in ("This cannot be undone", "builds on it", "Listened up to 12:34", "Pixel 9"):
        assert words in page
    assert "This cannot be undone" in text_of(visitor.send(f"/history/{event_id}/undo", {}))
    assert log.head() == head
    share = ShareEpisode(user_id=alice.pk, now=datetime.now(UTC), feed=later.feed, item=later.item)
    dispatch(share, PHONE)
    assert "This cannot be taken back." in text_of(visitor.get(f"/history/{newest(alice)}/undo"))


def afternoon(user: User) -> tuple[datetime, UUID]:
    """Let a phone change much, and a desktop add to a part of it; return when the changes began, and the
    playlist's id."""
    feed, other = show(1, 4), show(2, 1)
    follow(user, feed, other)
    first, second, third, fourth = feed.episodes.order_by("sort_at")
    hear(user, first, 754)
    mix = playlist(user, first, second, third)
    start = datetime.now(UTC)
    who: Any = {"user_id": user.pk}

    def now() -> datetime:
        return datetime.now(UTC)

    dispatch(Unsubscribe(**who, now=now(), feed=name_of(other)), PHONE)
    for episode in (first, second, fourth):
        named: Any = {"feed": name_of(feed), "item": item_name(episode)}
        dispatch(RecordPlay(**who, now=now(), **named, position=30, played=True), PHONE)
    fourth_named: Any = {"feed": name_of(feed), "item": item_name(fourth)}
    dispatch(RecordPlay(**who, now=now(), **fourth_named, position=99, played=False), DESK)
    dispatch(RemoveFromPlaylist(**who, now=now(), playlist_id=mix, item=item_name(second)), PHONE)
    dispatch(DeletePlaylist(**who, now=now(), playlist_id=mix), PHONE)
    dispatch(ChangePrivacy(**who, now=now(), level="public"), PHONE)
    bring_up_to_date()
    return start, mix


def test_an_afternoon_of_a_device_is_undone_but_for_what_others_built_on(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, mix = afternoon(alice)
    visitor = Visitor(alice)
    assert f"{SINCE}?device=" in text_of(visitor.get("/history"))
    query = urlencode({"device": "d:Pixel 9", "since": start.isoformat()})
    with counted(monkeypatch) as sent:
        page = text_of(visitor.get(f"{SINCE}?{query}"))
    assert len(sent) <= MOST
    text = plain(page)
    for words in (
        "Followed again · Show 2",
        "Back at 12:34 · Episode 1-0",
        "Not begun, as before · Episode 1-1",
        "Playlist back, with all that was in it: Morning",
        "Back in Morning · Episode 1-1",
        "Your account private again",
        "Stays as it is Played to the end · Episode 1-3",
        "Desk",
    ):
        assert words in text, words
    fields = dict(re.findall(r'type="hidden" name="(device|since)" value="([^"]+)"', page))
    assert visitor.send(SINCE, fields)["Location"] == "/history"
    state = state_of(alice.pk).read_whole()
    assert all(one.active for one in state.subscriptions.values())
    assert sorted((one.position, one.played) for one in state.plays.values()) == [
        (0, False),
        (99, False),
        (754, False),
    ]
    assert len(followed(alice)) == 2
    page = text_of(visitor.get(f"/playlists/{mix}"))
    assert re.findall(r"<bdi>Episode 1-(\d)</bdi>", page)[:3] == ["0", "1", "2"]
    assert "Undone, but for what later changes build on." in page


def test_a_line_of_several_is_undone_after_a_look_at_what_changes(alice: User) -> None:
    feed = show(1, 3)
    follow(alice, feed)
    visitor = Visitor(alice)
    visitor.send(f"{page_of(feed)}/older", {"which": "all"})
    bring_up_to_date()
    link = re.search(r'href="(/history/undo[?][^"]+)"', text_of(visitor.get("/history")))
    assert link
    address, last = link[1].replace("&amp;", "&"), newest(alice)
    preview = plain(text_of(visitor.get(address)))
    assert "Undo all of this?" in preview
    assert preview.count("Not begun, as before") == 3
    assert newest(alice) == last
    assert visitor.send(address, {})["Location"] == "/history"
    bring_up_to_date()
    assert not any(play.played for play in queries.play_statuses(alice.pk).rows)
    again = plain(text_of(visitor.get(address)))
    assert "Everything is as it was before already." in again
    assert "What changes" not in again


def test_the_way_from_one_event_to_all_that_its_device_did_since(alice: User) -> None:
    afternoon(alice)
    visitor = Visitor(alice)
    page = text_of(visitor.get(f"/history/{newest(alice)}/undo"))
    found = re.search(r'href="(/history/undo-since[^"]+)"', page)
    assert found
    text = plain(text_of(visitor.get(found[1].replace("&amp;", "&"))))
    assert "Your account private again" in text
    assert "Followed again" not in text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"device": "x", "since": "hour"}, "Choose a device."),
        ({"device": "d:", "since": "hour"}, "Choose a device."),
        ({"device": "d:Pixel 9", "since": "yesterday"}, "Choose a time."),
        ({"device": "d:Pixel 9", "since": "2026-05-01T12:00:00"}, "Choose a time."),
        ({"device": "d:Pixel 9", "since": "0001-01-01T00:00:00+14:00"}, "Choose a time."),
        ({"device": "d:" + "x" * 400, "since": ""}, "Choose a time."),
    ],
)
def test_every_fault_is_told_beside_its_field(alice: User, query: dict[str, str], words: str) -> None:
    hear(alice, show(1, 1).episodes.get(), 60)
    for answer in (Visitor(alice).get(SINCE, query), Visitor(alice).send(SINCE, query)):
        assert answer.status_code == 400
        assert words in text_of(answer)


def test_who_has_done_nothing_has_nothing_to_undo(alice: User, bob: User) -> None:
    hear(alice, show(1, 1).episodes.get(), 60)
    visitor = Visitor(bob)
    assert visitor.get(f"/history/{newest(alice)}/undo").status_code == 404
    assert visitor.get(f"/history/{uuid4()}/undo").status_code == 404
    assert visitor.get(SINCE).status_code == 200
    page = text_of(visitor.get(SINCE, {"device": f"d:{HOSTILE}", "since": "week"}))
    assert "as it was before already" in page
    assert "<script>alert" not in page
    for address in ("/history/undo?after=0&upto=1", "/history/undo?after=7&upto=3"):
        assert visitor.send(address, {})["Location"] == "/history"
    for query in ("", "?after=x&upto=3", f"?after=1&upto={'9' * 99}"):
        assert visitor.send(f"/history/undo{query}", {}).status_code == 400
    assert visitor.get("/history/undo?after=x&upto=1").status_code == 400
    assert log.known_stream(bob.pk) is None, "a look begins no history"


def test_since_any_time_of_the_page(alice: User) -> None:
    start, _ = afternoon(alice)
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Kolkata")
    visitor, before = Visitor(alice), (start - timedelta(minutes=1)).astimezone(ZoneInfo("Asia/Kolkata"))
    query = {"device": "d:Pixel 9", "since": "hour", "at": before.strftime("%Y-%m-%dT%H:%M")}
    page = text_of(visitor.get(SINCE, query))
    assert "Followed again" in plain(page)
    assert f'value="{before.astimezone(UTC).replace(second=0, microsecond=0).isoformat()}"' in page
    later = (before + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    assert "as it was before already" in text_of(visitor.get(SINCE, {"device": "d:Pixel 9", "at": later}))
    for wrong in ("yesterday", "0001-01-01T00:00"):
        answer = visitor.get(SINCE, {"device": "d:Pixel 9", "since": "hour", "at": wrong})
        assert answer.status_code == 400, wrong


def test_a_long_history_is_undone_in_pages_of_changes(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = show(1, 120)
    visitor = Visitor(alice)
    follow(alice, feed)
    visitor.send(f"{page_of(feed)}/older", {"which": "all"})
    bring_up_to_date()
    toast = undo_of(text_of(visitor.get(page_of(feed))))
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    device = origin_device(alice)
    with counted(monkeypatch) as sent:
        page = plain(text_of(visitor.get(SINCE, {"device": f"d:{device}", "since": since})))
    assert len(sent) <= MOST
    assert page.count("Not begun, as before") == 100
    assert "and 20 more" in page
    head = log.head()
    visitor.send(toast, {})
    assert log.head() == head + 120
    plays = state_of(alice.pk).read_whole().plays.values()
    assert {(one.position, one.played) for one in plays} == {(0, False)}


def origin_device(user: User) -> str:
    (found,) = {each.device_name for each in log.history_sources(log.stream_of(user.pk), 500)} - {None}
    return str(found)


@pytest.mark.browser
def test_in_a_browser_a_dialog_undoes_one_thing_and_the_toast_brings_it_back(page: Page, alice: User) -> None:
    start, _mix = afternoon(alice)
    enter(page, "/history")
    page.get_by_role("link", name="Undo: Privacy set to public").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your account private again")
    check(page, "undo-dialog")
    dialog.get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_contain_text("Undone.")
    assert state_of(alice.pk).user.privacy["user"].level is None
    page.keyboard.press("Control+z")
    expect(page.get_by_text("Undid: Privacy set back")).to_be_visible()
    assert state_of(alice.pk).user.privacy["user"].level == "public"
    page.goto(f"{SINCE}?{urlencode({'device': 'd:Pixel 9', 'since': start.isoformat()})}")
    expect(page.get_by_role("button", name="Undo all of this")).to_be_visible()
    check(page, "undo-since")
    page.get_by_label("Or since any other time").fill("2099-01-01T00:00")
    expect(page.locator("#found")).to_contain_text("Everything is as it was before already.")
    expect(page).to_have_url(re.compile("at=2099"))
