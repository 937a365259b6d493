"""What the public must never see, and cannot infer from what it sees."""

from uuid import UUID

import pytest
from django.test import Client

from accounts.models import User
from eventstore.domain.playlists import PlaylistCreated, PlaylistItemAdded
from projections import popularity
from projections.connect import Connection
from tests.api.devices import Device, feed, item, play
from tests.privacy.acts import (
    PATHS,
    SECRET,
    TABLES,
    account,
    everything_seen,
    everything_stored,
    level,
    perform,
    run_worker,
    saved,
    seen,
    shared,
)
from tests.projecting import bring_up_to_date
from tests.projections.conftest import Project
from tests.projections.histories import minutes, played, record, subscribed

pytestmark = pytest.mark.usefixtures("stores")
FEED, ITEM = feed(1), item(1)
ALICE, BOB, CHARLIE, DORA = (UUID(int=number) for number in range(1, 5))


def all_there_is(connection: Connection) -> str:
    """Every public answer with its headers, and every public row, as one text."""
    answers = [Client().get(f"/api/v1/public/{path}") for path in PATHS]
    texts = [f"{dict(answer.headers)} {answer.content.decode()}" for answer in answers]
    for table in TABLES:
        texts += [text for (text,) in connection.execute(f"SELECT kept::text FROM public.{table} kept")]
    return "\n".join(texts).lower()


@pytest.mark.parametrize("privacy", ["anonymous", "private"])
def test_nothing_public_leads_to_who_does_not_want_it(
    connection: Connection, phone: Device, bobs: Device, privacy: str
) -> None:
    bobs.put("privacy", {"privacy": "public"})
    phone.put("privacy", {"privacy": privacy})
    for device in (phone, bobs):
        device.post("subscriptions", {"rss_source_feed": FEED})
        device.post("plays", play())
        device.post(f"episodes/{ITEM}/save", {"rss_source_feed": FEED})
    bring_up_to_date()
    popularity.recalculate()
    bring_up_to_date()
    text = all_there_is(connection)
    assert "bob" in text  # otherwise the text contains nothing to search
    alice = User.objects.get(username="alice")
    for trace in (alice.pk, alice.pk.hex, "alice", "castaway", "phone-1", phone.app.iss, "example.org.alice"):
        assert str(trace) not in text
    (fields,) = {frozenset(event) for event in seen("timeline")["events"]}
    assert not any(word in field for field in fields for word in ("device", "app_", "user_id", "position"))


def test_nothing_ties_the_rows_of_somebody_anonymous_together(
    connection: Connection, project: Project
) -> None:
    record(level("anonymous", ALICE))
    # one act after another, as in real use, with another listener's acts in between
    record(level("anonymous", BOB))
    for number in range(20):
        record(played(ALICE, item(number), feed=FEED, at=number))
        record(saved(BOB, item(number), FEED, at=number))
        project()
    rows = seen("timeline")["events"]
    assert len(rows) == 40
    ids = [UUID(row["id"]) for row in rows]
    assert len(set(ids)) == 40
    # UUIDs of version 4, which are random, and the only order of the acts within the hour
    assert {id_.version for id_ in ids} == {4}
    assert ids == sorted(ids, reverse=True)
    assert {row["happened_at"] for row in rows} == {"2026-05-01T12:00:00Z"}
    stored = connection.execute("SELECT DISTINCT user_id, happened_at FROM public.public_events").fetchall()
    assert stored == [(None, minutes(0))]
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = 'public_events' ORDER BY 1"
    ).fetchall()
    assert [name for (name,) in columns] == [
        "feed_key",
        "guid_key",
        "happened_at",
        "id",
        "item_key",
        "kind",
        "rss_source_feed",
        "rss_source_item",
        "user_id",
    ]


def test_a_public_playlist_tells_nothing_of_a_private_feed(connection: Connection, project: Project) -> None:
    account("alice", 1)
    perform([level("public", ALICE), level("private", ALICE, FEED), played(ALICE, ITEM, feed=FEED)])
    before = everything_seen(), everything_stored(connection)
    playlist = UUID(int=77)
    record(
        PlaylistCreated(
            user_id=ALICE, playlist_id=playlist, name="Mine", is_public=True, updated_at=minutes(1)
        ),
        PlaylistItemAdded(
            user_id=ALICE,
            playlist_id=playlist,
            rss_source_feed=FEED,
            rss_source_item=ITEM,
            added_at=minutes(1),
        ),
    )
    run_worker()
    assert (everything_seen(), everything_stored(connection)) == before


def test_the_address_of_a_secret_feed_is_nowhere(connection: Connection, project: Project) -> None:
    account("alice", 1)
    life = [level("public", ALICE), level("public", ALICE, SECRET), level("public", ALICE, SECRET, ITEM)]
    perform([*life, played(ALICE, ITEM, feed=FEED, at=1)])
    before = everything_seen(), everything_stored(connection)
    assert seen("timeline")["events"]
    perform(
        [
            subscribed(ALICE, SECRET),
            played(ALICE, item(2), feed=SECRET),
            saved(ALICE, item(2), SECRET),
            shared(ALICE, item(2), SECRET),
        ]
    )
    assert (everything_seen(), everything_stored(connection)) == before


def test_of_fewer_than_three_anonymous_listeners_there_is_no_figure(project: Project) -> None:
    def does(user: UUID) -> None:
        perform([level("anonymous", user), played(user, ITEM, feed=FEED)])

    nobody = seen(f"podcast/{FEED}/popularity"), seen(f"episode/{ITEM}/popularity")
    for user in (ALICE, BOB):
        does(user)
        # a single listener, however many acts
        perform([shared(ALICE, ITEM, FEED), shared(ALICE, ITEM, FEED)])
        assert seen("trending/podcasts") == {"podcasts": []}
        assert seen("trending/episodes") == {"episodes": []}
        assert (seen(f"podcast/{FEED}/popularity"), seen(f"episode/{ITEM}/popularity")) == nobody
    does(CHARLIE)
    (podcast,) = seen("trending/podcasts")["podcasts"]
    (episode,) = seen("trending/episodes")["episodes"]
    for shown in (podcast, episode):
        # three have played it, but only one has shared it
        assert (shown["plays"], shown["shares"], shown["score"], shown["people"]) == (
            3,
            0,
            15,
            [],
        )
    does(DORA)
    assert seen(f"podcast/{FEED}/popularity")["plays"] == 4
    # two listeners become private
    record(level("private", ALICE, at=1), level("private", BOB, at=1))
    project()
    assert seen("trending/podcasts") == {"podcasts": []}
    assert seen(f"episode/{ITEM}/popularity") == nobody[1]


def test_who_is_public_counts_alone(project: Project) -> None:
    account("alice", 1)
    perform([level("public", ALICE), level("anonymous", BOB)])
    perform([played(ALICE, ITEM, feed=FEED), played(BOB, ITEM, feed=FEED)])
    assert seen(f"podcast/{FEED}/popularity")["plays"] == 1


def test_an_export_is_whole_for_oneself_and_has_nothing_of_others(phone: Device, bobs: Device) -> None:
    for device in (phone, bobs):
        device.put("privacy", {"privacy": "anonymous"})
        device.post("plays", play())
        device.post("subscriptions", {"rss_source_feed": FEED})
    bring_up_to_date()
    text = phone.get("export").content.decode()
    assert str(phone.user_id) in text
    assert FEED in text
    assert ITEM in text
    assert '"anonymous"' in text
    assert str(bobs.user_id) not in text
    assert "bob" not in text
