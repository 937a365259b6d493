"""rebuild_projections and dead_letters, as an operator runs them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from projections import locks
from projections.catch_up import apply_until
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.worker import Worker
from tests.projecting import bring_up_to_date
from tests.projections.histories import ALICE, played, record, record_raw, subscribed

pytestmark = pytest.mark.usefixtures("stores")


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_rebuild_says_how_far_and_how_fast() -> None:
    record(subscribed(ALICE), played(ALICE))
    bring_up_to_date()
    output = run("rebuild_projections")
    assert "2 of 2 events, " in output
    assert " events/s" in output
    assert f"Rebuilt: {', '.join(PROJECTORS)}." in output


def test_rebuild_takes_the_names_of_projectors() -> None:
    assert "Rebuilt: plays." in run("rebuild_projections", "plays")
    with pytest.raises(CommandError, match="no such projector: listens"):
        run("rebuild_projections", "listens")


def test_rebuild_refuses_beside_another_one() -> None:
    with connect("projections") as other:
        assert locks.try_lock(other, "subscriptions__rebuild")
        with pytest.raises(CommandError, match="subscriptions is being rebuilt by another process"):
            run("rebuild_projections")


def test_dead_letters_are_listed_with_their_error_and_tried_again() -> None:
    assert run("dead_letters") == "No dead letters.\n"
    record(played(ALICE))
    bad = record_raw(ALICE, "PlayRecorded", 1, '{"position": "far"}')
    head = record(played(ALICE, position=1))
    with connect("projections") as connection:
        apply_until([Worker(PROJECTORS["plays"], connection)], head)
    output = run("dead_letters")
    assert f"plays position {bad} stream" in output
    assert "UndecodableEvent" in output
    assert "waits behind an earlier event of its stream" in output
    assert "2 dead letters" in output
    assert run("dead_letters", "subscriptions") == "No dead letters.\n"
    left = {name: 2 if name == "plays" else 0 for name in PROJECTORS}
    expected = "".join(f"{name}: 0 applied, {count} left\n" for name, count in left.items())
    out = StringIO()
    with pytest.raises(CommandError, match="2 dead letters are left"):
        call_command("dead_letters", "--retry", stdout=out)
    assert out.getvalue() == expected
