"""Creating the stores, as an operator does on his first day, and again on any other."""

from operations.stores import SCHEMAS
from tests.operations.operating import Operator


def test_db_create_makes_every_database_and_schema_and_may_be_repeated(nothing_yet: Operator) -> None:
    said = nothing_yet.run("db_create")
    assert "created: balados_" in said
    assert nothing_yet.run("db_create") == "every database was there already\n"
    for alias, schemas in SCHEMAS.items():
        assert set(schemas) <= nothing_yet.schemas(alias)


def test_db_init_makes_everything_ready_for_the_server(operator: Operator) -> None:
    assert operator.count("events", "events.events") == 0
    assert operator.count("system", "system.users") == 0
    assert operator.count("projections", "users.subscriptions") == 0
