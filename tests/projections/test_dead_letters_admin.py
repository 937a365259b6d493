"""Dead letters in the admin: who sees them, who may retry them, and which actions are not offered."""

from uuid import UUID

import pytest
from django.test import Client

from eventstore import log
from projections import catch_up, deadletters
from projections.catch_up import apply_until
from projections.connect import Connection
from projections.models import DeadLetter
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.worker import Worker
from tests.factories import HelperFactory, OperatorFactory
from tests.projections.histories import ALICE, BOB, played, record
from tests.web.people import logged_in, text_of

PAGE = "/admin/projections/deadletter/"
NAME = "plays"

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture(autouse=True)
def _two_streams_wait(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two plays of Alice's and two of Bob's, none of which could be applied."""
    monkeypatch.setattr(catch_up, "PAUSES", (0,))
    head = record(*(played(user, position=n) for user in (ALICE, BOB) for n in (1, 2)))

    def fail(*_: object) -> None:
        raise ValueError("<b>no</b>")

    real = PROJECTORS[NAME]
    broken = Projector(NAME, real.handles, real.tables, fail)
    apply_until([Worker(broken, connection)], head)


@pytest.fixture
def olivia() -> Client:
    """The browser of the operator, who is logged in."""
    return logged_in(OperatorFactory.create())


def id_of(position: int) -> UUID:
    return DeadLetter.objects.get(projector=NAME, position=position).id


def retry(client: Client, *positions: int) -> str:
    chosen = [id_of(position) for position in positions]
    return text_of(client.post(PAGE, {"action": "retry", "_selected_action": chosen}, follow=True))


def waiting(connection: Connection) -> list[int]:
    return [letter.position for letter in deadletters.letters(connection)]


def test_each_is_listed_with_what_is_the_matter(olivia: Client) -> None:
    text = text_of(olivia.get(PAGE))
    assert text.count("ValueError: &lt;b&gt;no&lt;/b&gt;") == 2
    assert text.count("waits behind an earlier event of its stream") == 2
    assert "ValueError" in text_of(olivia.get(f"{PAGE}{id_of(1)}/change/"))


def test_a_letter_is_tried_again_with_its_stream_and_no_other(olivia: Client, connection: Connection) -> None:
    # the second of Alice's events, which waits behind the first
    assert f"2 applied by {NAME}, 2 left." in retry(olivia, 2)
    assert waiting(connection) == [3, 4]
    rows = connection.execute("SELECT user_id, position FROM users.play_statuses").fetchall()
    assert rows == [(ALICE, 2)]


def test_all_of_them_are_tried_again(olivia: Client, connection: Connection) -> None:
    assert f"4 applied by {NAME}, 0 left." in retry(olivia, 1, 2, 3, 4)
    assert waiting(connection) == []
    assert "0 dead letters" in text_of(olivia.get(PAGE))


def test_what_fails_again_stays_and_is_said(
    olivia: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("still")

    real = PROJECTORS[NAME]
    monkeypatch.setitem(PROJECTORS, NAME, Projector(NAME, real.handles, real.tables, fail))
    assert f"0 applied by {NAME}, 4 left." in retry(olivia, 1)
    assert waiting(connection) == [1, 2, 3, 4]
    assert "KeyError" in text_of(olivia.get(PAGE))


def test_letters_of_a_projector_that_is_gone_are_left_alone(
    olivia: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(PROJECTORS, NAME)
    assert f"There is no projector {NAME} any more." in retry(olivia, 1)
    assert waiting(connection) == [1, 2, 3, 4]


def test_nothing_else_can_be_done(olivia: Client, connection: Connection) -> None:
    letter = f"{PAGE}{id_of(1)}"
    for place in (f"{PAGE}add/", f"{letter}/change/", f"{letter}/delete/"):
        assert olivia.post(place, {"error": "", "post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": id_of(1), "post": "yes"}
    olivia.post(PAGE, chosen)
    assert waiting(connection) == [1, 2, 3, 4]
    assert log.head() == 4


def test_a_helper_who_may_look_does_not_try_again(connection: Connection) -> None:
    henry = logged_in(HelperFactory.create(permissions=["view_deadletter"]))
    assert henry.get(PAGE).status_code == 200
    retry(henry, 1)
    assert waiting(connection) == [1, 2, 3, 4]


def test_a_helper_who_may_change_them_tries_again(connection: Connection) -> None:
    retry(logged_in(HelperFactory.create(permissions=["view_deadletter", "change_deadletter"])), 1, 3)
    assert waiting(connection) == []


def test_a_letter_is_left_out_after_a_question_and_what_waits_behind_it_is_applied(
    olivia: Client, connection: Connection
) -> None:
    chosen = {"action": "leave_out", "_selected_action": [id_of(1)]}
    assert "differs from the log" in text_of(olivia.post(PAGE, chosen))
    assert waiting(connection) == [1, 2, 3, 4]
    done = text_of(olivia.post(PAGE, {**chosen, "confirmed": "yes"}, follow=True))
    assert f"1 applied by {NAME}, 2 left." in done
    assert waiting(connection) == [3, 4]
    # a letter that only waits behind another cannot be skipped
    olivia.post(PAGE, {**chosen, "_selected_action": [id_of(4)], "confirmed": "yes"})
    assert waiting(connection) == [3, 4]


def test_what_may_hide_something_is_not_left_out(olivia: Client, connection: Connection) -> None:
    DeadLetter.objects.filter(position=1).update(projector="public_events", type="PrivacyChanged")
    chosen = {"action": "leave_out", "_selected_action": [DeadLetter.objects.get(position=1).id]}
    assert "nobody knows what it hides" in text_of(
        olivia.post(PAGE, {**chosen, "confirmed": "yes"}, follow=True)
    )
    assert DeadLetter.objects.filter(position=1).exists()
