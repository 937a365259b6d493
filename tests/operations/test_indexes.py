"""Indexes that migrations make beside whoever uses the table, whole tables and partitions."""

from collections.abc import Iterator

import pytest
from django.db import connections, transaction

from eventstore import indexes

pytestmark = pytest.mark.usefixtures("stores")
LOG, NAME, OWN = "events.tried", "tried_by_number", "tried_p0_tried_by_number"
DEFINITION = "(number) WHERE number > 1"


@pytest.fixture(params=["", " PARTITION BY RANGE (number)"], ids=["whole", "partitions"])
def table(stores: None, request: pytest.FixtureRequest) -> Iterator[str]:
    run(f"CREATE TABLE {LOG} (number integer){request.param}")
    if request.param:
        run(f"CREATE TABLE {LOG}_p0 PARTITION OF {LOG} FOR VALUES FROM (0) TO (10)")
        run(f"CREATE TABLE {LOG}_p1 PARTITION OF {LOG} FOR VALUES FROM (10) TO (20)")
    yield str(request.param)
    run(f"DROP TABLE {LOG}")


def run(statement: str) -> None:
    with connections["events"].cursor() as cursor:
        cursor.execute(statement)


def states() -> dict[str, bool]:
    """The table's indexes, and whether each is whole."""
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relnamespace = 'events'::regnamespace AND starts_with(relname, 'tried')"
        )
        return dict(cursor.fetchall())


def build() -> None:
    with connections["events"].schema_editor(atomic=False) as editor:
        indexes.build(editor, LOG, NAME, DEFINITION)


def drop() -> None:
    with connections["events"].schema_editor(atomic=False) as editor:
        indexes.drop(editor, "events", NAME)


def test_an_index_comes_and_goes_and_may_be_asked_for_twice(table: str) -> None:
    own = [OWN, "tried_p1_tried_by_number"] if table else []
    for _ in range(2):
        build()
        assert states() == dict.fromkeys([NAME, *own], True)
    for _ in range(2):
        drop()
        assert states() == {}


def test_inside_a_transaction_it_comes_and_goes_with_it(table: str) -> None:
    with transaction.atomic(using="events"):
        build()
        assert states()[NAME]
        transaction.set_rollback(True, using="events")
    assert states() == {}
    build()
    with transaction.atomic(using="events"):
        drop()
    assert states() == {}


def test_what_a_killed_one_left_is_finished(table: str) -> None:
    if table:
        run(f"CREATE INDEX {NAME} ON ONLY {LOG} {DEFINITION}")
        run(f"CREATE INDEX {OWN} ON {LOG}_p0 {DEFINITION}")
        invalid = OWN
    else:
        run(f"CREATE INDEX {NAME} ON {LOG} {DEFINITION}")
        invalid = NAME
    run(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events.{invalid}'::regclass")
    build()
    assert set(states().values()) == {True}
