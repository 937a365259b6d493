"""After an undo every read table, and the public, shows and counts what it did before."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import dispatcher, undo
from eventstore.dispatcher import DomainError, dispatch
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.messages import Command, Origin
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.saved import ShareEpisode
from eventstore.undo import Chosen
from projections.connect import Connection
from tests.conftest import STORES, clear_caches, empty
from tests.projections.conftest import Project
from tests.projections.histories import ALICE, minutes
from tests.projections.test_rebuild import commands, happen
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")

IS_ON = "{on} IS NOT NULL AND ({off} IS NULL OR {on} >= {off})"
FOLLOWED = IS_ON.format(on="subscribed_at", off="unsubscribed_at")
SAVED = IS_ON.format(on="saved_at", off="unsaved_at")
IN_IT = IS_ON.format(on="added_at", off="removed_at")
THERE = "updated_at > '-infinity' AND (deleted_at IS NULL OR updated_at >= deleted_at)"
SHOWN = {
    "subscriptions": f"SELECT feed_key, rss_source_id FROM users.subscriptions WHERE {FOLLOWED} ORDER BY 1",
    "play_statuses": "SELECT item_key, position, played FROM users.play_statuses"
    " WHERE position > 0 OR played ORDER BY 1",
    "saved": f"SELECT item_key FROM users.saved_episodes WHERE {SAVED} ORDER BY 1",
    "privacy": "SELECT scope_key, level FROM users.user_privacy WHERE level IS NOT NULL ORDER BY 1",
    "playlists": f"SELECT playlist_id, name, is_public FROM users.playlists WHERE {THERE} ORDER BY 1",
    "items": "SELECT playlist_id, item_key FROM users.playlist_items JOIN users.playlists"
    f" USING (user_id, playlist_id) WHERE {THERE} AND {IN_IT} ORDER BY 1, 2",
    "collections": "SELECT collection_id, name FROM users.collections"
    f" WHERE {THERE} AND NOT is_default ORDER BY 1",
    "public": "SELECT kind, feed_key, item_key, user_id FROM public.public_events ORDER BY 1, 2, 3, 4",
}
by_alice = commands.filter(lambda command: not isinstance(command, (ShareEpisode, TakeCheckpoint))).map(
    lambda command: msgspec.structs.replace(command, user_id=ALICE)
)


def visible(connection: Connection) -> dict[str, list[Any]]:
    """The read tables without times, and without what is off, cleared, or was never begun."""
    return {table: connection.execute(statement).fetchall() for table, statement in SHOWN.items()}


@examples(10, shrink=True)
@given(st.lists(by_alice, max_size=8), st.lists(by_alice, min_size=1, max_size=6))
def test_whatever_was_done_and_undone_every_table_shows_what_was_before(
    connection: Connection, project: Project, before: list[Command], acts: list[Command]
) -> None:
    for alias in STORES:
        empty(alias)
    clear_caches()
    dispatch(ChangePrivacy(user_id=ALICE, level="public", now=minutes(0), at=minutes(-60)), Origin())
    for command in before:
        happen(command)
    project()
    was, version = visible(connection), dispatcher.state_of(ALICE).version
    for command in acts:
        happen(command)
    project()
    done, upto = visible(connection), dispatcher.state_of(ALICE).version
    with suppress(DomainError):
        undo.undo(ALICE, Chosen(after=version, upto=upto), Origin(), minutes(1_000))
    project()
    assert visible(connection) == was
    # and now undo the undo
    head = dispatcher.state_of(ALICE).version
    with suppress(DomainError):
        undo.undo(ALICE, Chosen(after=upto, upto=head), Origin(), minutes(1_001))
    project()
    assert visible(connection) == done
