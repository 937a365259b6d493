"""The player's requests, /player/…, with the pages' own session and CSRF token."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from accounts.models import User
from eventstore import log
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist
from eventstore.domain.plays import RecordPlay
from feeds import supplements
from feeds.chapters import EpisodeChapter
from feeds.models import Episode, FetchedDocument
from feeds.supplements import Kind
from feeds.transcripts import Segment
from projections import queries
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW, follow, hear, page_of_episode, show, unknown_episode
from tests.web.people import Response, Visitor, text_of

PHONE = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"


def play(episode: Episode, position: int = 754, **fields: Any) -> dict[str, Any]:
    entry = {"id": str(uuid4()), "at": datetime.now(UTC).isoformat(), "position": position, "speed": 1.2}
    return {**entry, "feed": name_of(episode.feed), "item": item_name(episode), **fields}


def send_plays(visitor: Visitor, *plays: Any) -> Response:
    return visitor.send("/player/plays", {"plays": json.dumps(plays)}, headers={"User-Agent": PHONE})


def opened(visitor: Visitor, episode: Episode, **values: str) -> str:
    path = page_of_episode(episode).replace("/episodes/", "/player/")
    return text_of(visitor.get(path + "".join(f"&{name}={value}" for name, value in values.items())))


def data(page: str, name: str) -> str:
    found = re.search(rf' data-{name}="([^"]*)"', page)
    return found[1] if found else ""


def keep(kind: Kind, address: str, error: str = "") -> None:
    """Store the document, or the error, as if it had been fetched."""
    content = {
        "chapters": [EpisodeChapter(4.0, "<b>Bold</b>")],
        "transcript": [Segment(4.0, 9.0, "<b>Bold</b>", "Ann")],
    }[kind]
    values = {"content": b"" if error else msgspec.json.encode(content), "error": error}
    digest = supplements._digest(kind, address)
    FetchedDocument.objects.update_or_create(
        url_digest=digest, defaults={**values, "fetched_at": datetime.now(UTC)}
    )


def statuses(user: User) -> list[tuple[int, bool, float | None]]:
    bring_up_to_date()
    return [(row.position, row.played, row.speed) for row in queries.play_statuses(user.pk).rows]


def test_what_was_heard_is_recorded_once_with_its_own_time(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    visitor = Visitor(alice)
    earlier, later = datetime.now(UTC) - timedelta(hours=2), datetime.now(UTC) - timedelta(hours=1)
    plays = [play(episode, 60, played=False, at=earlier.isoformat()), play(episode, 75, at=later.isoformat())]
    assert send_plays(visitor, *plays).status_code == 204
    assert statuses(alice) == [(75, False, 1.2)]
    assert queries.play_statuses(alice.pk).rows[0].updated_at == later
    # the same request again, because its answer was lost on the way
    assert send_plays(visitor, *plays).status_code == 204
    stream = log.known_stream(alice.pk)
    assert stream is not None
    assert [json.loads(row.metadata)["device_name"] for row in log.read_history(stream)] == [
        "Firefox on Android"
    ] * 2
    assert send_plays(visitor, {**plays[0], "position": 99}).status_code == 409
    assert send_plays(visitor, play(episode, 1_800, played=True)).status_code == 204
    assert statuses(alice) == [(1_800, True, 1.2)]


def test_every_fault_of_what_it_tells_is_named_and_nothing_of_it_recorded(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    visitor = Visitor(alice)
    bad = play(episode, -1, at="2026-11-20T12:00:00", feed="x", item=[], id=5, speed=99, played="perhaps")
    answer = send_plays(visitor, play(episode), bad)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"1"}
    assert set(answer.json()["errors"]["1"]) == {"at", "feed", "item", "id", "speed", "played", "position"}
    for text in ("", "{}", "[]", "[1]", "nonsense", "[" * 100_000, json.dumps([{}] * 101), "[NaN]"):
        assert visitor.send("/player/plays", {"plays": text}).status_code == 400, text[:20]
    for position in (True, 1.5, None, "x", 2**31, float("nan")):
        assert send_plays(visitor, play(episode, position)).status_code == 400, position  # type: ignore[arg-type]
    # in UTC these times have a year that does not exist
    for at in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
        assert send_plays(visitor, play(episode, at=at)).status_code == 400, at
    assert statuses(alice) == []
    assert visitor.get("/player/plays").status_code == 405
    assert Visitor(alice).post("/player/plays", {"plays": "[]"}).status_code == 403
    assert Visitor().send("/player/plays", {"plays": "[]"}).status_code == 302


def test_it_opens_where_its_listener_is_at_the_speed_of_its_podcast(alice: User, bob: User) -> None:
    feed = show(1, 3)
    first, second, third = feed.episodes.order_by("sort_at")
    visitor = Visitor(alice)
    send_plays(visitor, play(first, 120, speed=1.5))
    hear(alice, second, 500, played=True)
    hear(bob, third, 99, played=True)
    bring_up_to_date()
    page = opened(visitor, first)
    assert [data(page, name) for name in ("start", "speed", "audio")] == ["120", "1.5", first.enclosure_url]
    coming = page_of_episode(first).replace("/episodes/", "/player/").replace("?", "/following?")
    # the second episode was heard; what others heard does not count
    assert third.title in text_of(visitor.get(coming))
    assert data(opened(visitor, second), "start") == "0"
    assert data(opened(visitor, second), "speed") == "1.5"
    assert data(opened(visitor, first, t="60"), "start") == "60"
    for values in ({"t": "-1"}, {"here": "x"}):
        path = page_of_episode(first).replace("/episodes/", "/player/")
        assert visitor.get(path, {**values, "feed": path.partition("feed=")[2]}).status_code == 400
    assert visitor.get(unknown_episode().replace("/episodes/", "/player/")).status_code == 404


def test_another_device_that_got_further_since_is_offered_once(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    visitor = Visitor(alice, headers={"User-Agent": PHONE})
    here, there = name_of(episode.feed), item_name(episode)
    for number, (position, device) in enumerate([(600, "Kitchen"), (90, "Car")]):
        at = NOW + timedelta(minutes=number)
        order = RecordPlay(user_id=alice.pk, feed=here, item=there, position=position, played=False, now=at)
        dispatch(order, Origin(device_name=device))
    bring_up_to_date()
    page = opened(visitor, episode)
    assert (data(page, "start"), data(page, "further")) == ("90", "600")
    assert "On Kitchen you got as far as 10:00." in page
    assert data(opened(visitor, episode, here="580"), "further") == ""
    own = text_of(visitor.get(page_of_episode(episode)))
    assert own.index("Car") < own.index("Kitchen")
    send_plays(visitor, play(episode, 91))
    bring_up_to_date()
    assert data(opened(visitor, episode), "further") == ""
    assert "this browser" in text_of(visitor.get(page_of_episode(episode)))


def test_after_the_end_comes_what_follows_where_it_was_started(alice: User, bob: User) -> None:
    feed = show(1, 3)
    first, second, third = feed.episodes.order_by("sort_at")
    playlist, others = uuid4(), uuid4()
    for user, its_id in ((alice, playlist), (bob, others)):
        dispatch(CreatePlaylist(user_id=user.pk, now=NOW, playlist_id=its_id, name="Mine"), Origin())
        for number, episode in enumerate((third, first)):
            at = NOW + timedelta(minutes=number)
            order = AddToPlaylist(
                user_id=user.pk, now=at, playlist_id=its_id, feed=name_of(feed), item=item_name(episode)
            )
            dispatch(order, Origin())
    bring_up_to_date()
    visitor = Visitor(alice)

    def after(episode: Episode, **values: str) -> str:
        path = page_of_episode(episode).replace("/episodes/", "/player/").replace("?", "/next?")
        answer = visitor.get(
            path + "".join(f"&{name}={value}" for name, value in values.items()), follow=True
        )
        return data(text_of(answer), "title") if answer.status_code == 200 else str(answer.status_code)

    assert after(first) == second.title
    assert after(third) == "204"
    assert after(third, **{"from": str(playlist)}) == first.title
    for nothing in (str(playlist), str(others), str(uuid4()), "x"):
        assert after(first, **{"from": nothing}) == "204"
    hear(alice, second, 10, played=True)
    bring_up_to_date()
    assert after(first) == third.title


def test_an_episode_takes_few_queries_whatever_is_known_of_it(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = show(1, 3).episodes.order_by("sort_at")[0]
    episode.extra = {"chapters": [{"url": "https://show1.example/chapters.json"}]}
    episode.save()
    follow(alice, episode.feed)
    order = RecordPlay(
        user_id=alice.pk,
        feed=name_of(episode.feed),
        item=item_name(episode),
        position=9,
        played=False,
        now=NOW,
    )
    dispatch(order, Origin(app_id="org.example.castaway"))
    bring_up_to_date()
    visitor, statements = Visitor(alice), []
    execute = psycopg.Cursor.execute

    def note(cursor: Any, query: Any, *values: Any, **options: Any) -> Any:
        statements.append(query)
        return execute(cursor, query, *values, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    for path in (page_of_episode(episode), page_of_episode(episode).replace("/episodes/", "/player/")):
        visitor.get(path)
        statements.clear()
        assert visitor.get(path).status_code == 200
        assert len(statements) <= 12, statements


@pytest.mark.parametrize("kind", ["chapters", "transcript"])
def test_a_document_is_fetched_for_who_asks_and_shown_when_it_is_there(alice: User, kind: Kind) -> None:
    """Documents are also shown without JavaScript, on a page of their own."""
    episode = show(1, 1).episodes.get()
    path = page_of_episode(episode).replace("?", f"/{kind}?")
    assert Visitor(alice).get(path).status_code == 404  # the feed names no such document
    address = "https://show1.example/document"
    episode.extra = {kind: [{"url": address, "type": "text/vtt"}]}
    episode.save()
    keep(kind, address, error="not_found")
    assert "nothing at the address" in text_of(Visitor(alice).get(path))
    keep(kind, address)
    page = text_of(Visitor(alice).get(path))
    assert 'data-at="4"' in page
    assert "&lt;b&gt;" in page
    piece = text_of(Visitor(alice).get(path, headers={"HX-Request": "true", "HX-Target": kind}))
    assert 'data-at="4"' in piece
    assert "<html" not in piece
    whole = text_of(Visitor(alice).get(page_of_episode(episode)))
    assert f"/{kind}?" in whole


def test_a_browser_that_tells_an_older_place_than_another_device_is_to_ask(alice: User) -> None:
    episode, visitor, now = show(1, 1).episodes.get(), Visitor(alice), datetime.now(UTC)
    order = RecordPlay(
        user_id=alice.pk,
        feed=name_of(episode.feed),
        item=item_name(episode),
        position=1_390,
        played=False,
        now=now,
    )
    dispatch(order, Origin("org.example.castaway", "1", "Pixel 9"))
    before = (now - timedelta(minutes=5)).isoformat()
    answer = send_plays(visitor, play(episode, 300, at=before), play(episode, 315, at=before))
    newer = json.loads(text_of(answer))["newer"]
    assert (newer["further"], newer["question"]) == (1_390, "On Pixel 9 you are at 23:10 by now.")
    assert (newer["there"], newer["here"]) == ("Go on at 23:10", "Stay at 5:15")
    assert send_plays(visitor, play(episode, 1_385, at=before)).status_code == 204, "nearly the same place"
    assert send_plays(visitor, play(episode, 330)).status_code == 204, "this one is the newest"
    assert send_plays(visitor, play(episode, 300, at=before)).status_code == 204, "it was this browser"
