"""/settings/account: the page on which a listener erases himself."""

from unittest.mock import patch

import psycopg
import pytest

from accounts import erasure
from accounts.models import User
from jobs import tasks
from tests.factories import PASSWORD
from tests.web.people import Visitor, text_of

PAGE = "/settings/account"


def fields(**changes: str) -> dict[str, str]:
    return {"password": PASSWORD, "sure": "on", **changes}


def test_strangers_are_sent_to_log_in() -> None:
    for answer in (Visitor().get(PAGE), Visitor().send(PAGE, fields())):
        assert (answer.status_code, answer["Location"]) == (302, "/users/log_in?next=/settings/account")


def test_the_pages_lead_there(alice: User) -> None:
    assert f'href="{PAGE}"' in text_of(Visitor(alice).get("/subscriptions"))
    page = Visitor(alice).get(PAGE)
    assert str(alice.pk) in text_of(page)
    assert "no-store" in page["Cache-Control"]


def test_with_the_password_everything_goes_and_the_receipt_counts_it(alice: User) -> None:
    browser = Visitor()
    browser.send("/users/log_in", {"username": "alice", "password": PASSWORD})
    answer = browser.send(PAGE, fields())
    assert answer.status_code == 200
    page = text_of(answer)
    assert "<h1>Erased</h1>" in page
    assert "<dt>accounts</dt><dd>1</dd>" in page
    assert "alice" not in page.lower()
    assert not User.objects.filter(pk=alice.pk).exists()
    assert browser.get(PAGE).status_code == 302
    assert browser.cookies["balados_known"].value == ""


@pytest.mark.parametrize(
    "changes",
    [{"password": "not it at all"}, {"password": ""}, {"sure": ""}],
    ids=["wrong", "empty", "not sure"],
)
def test_without_it_nothing_does(alice: User, changes: dict[str, str]) -> None:
    browser = Visitor(alice)
    answer = browser.send(PAGE, fields(**changes))
    assert answer.status_code == 400
    assert "not it at all" not in text_of(answer)
    assert User.objects.get(pk=alice.pk).is_active
    assert browser.get("/subscriptions").status_code == 200


def test_the_last_administrator_is_told_what_goes_with_him(alice: User, bob: User) -> None:
    def told() -> bool:
        return "the only administrator" in text_of(Visitor(alice).get(PAGE))

    assert not told()
    User.objects.filter(pk=alice.pk).update(is_superuser=True)
    assert told()
    User.objects.filter(pk=bob.pk).update(is_superuser=True)
    assert not told()


def test_passwords_cannot_be_guessed_there(alice: User) -> None:
    browser = Visitor(alice)
    for _ in range(10):
        assert browser.send(PAGE, fields(password="not it at all")).status_code == 400
    answer = browser.send(PAGE, fields())
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert User.objects.filter(pk=alice.pk, is_active=True).exists()


def test_another_site_cannot_send_it(alice: User) -> None:
    assert Visitor(alice).post(PAGE, fields()).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


def test_where_a_store_is_away_the_account_is_closed_and_the_rest_goes_later(alice: User) -> None:
    browser = Visitor(alice)
    with patch.object(erasure, "complete", side_effect=psycopg.OperationalError("away")):
        answer = browser.send(PAGE, fields())
    assert answer.status_code == 200
    assert "Being erased" in text_of(answer)
    login = {"username": "alice", "password": PASSWORD}
    assert Visitor().send("/users/log_in", login).status_code == 400
    assert browser.get("/subscriptions").status_code == 302
    assert tasks.finish_erasures() == 1
    assert not User.objects.filter(pk=alice.pk).exists()


def test_the_language_is_kept_and_told_in_that_language(alice: User) -> None:
    browser = Visitor(alice)
    assert browser.send("/settings/language", {"language": "fr"})["Location"] == PAGE
    page = text_of(browser.get(PAGE))
    assert '<html lang="fr">' in page
    assert "Les pages sont désormais dans cette langue." in page
    browser.send("/settings/language", {"language": ""})
    assert '<html lang="en">' in text_of(browser.get(PAGE))
    refused = browser.send("/settings/language", {"language": "xx"})
    assert refused.status_code == 400
    assert "Select a valid choice" in text_of(refused)


def test_who_does_not_go_along_with_moved_podcasts_says_so(alice: User) -> None:
    browser = Visitor(alice)
    assert "Go along when a podcast moves to another address" in text_of(browser.get(PAGE))
    for sent, told in (
        ({}, "You stay at the old address when a podcast moves."),
        ({"follow_moves": "on"}, "You go along when a podcast moves."),
    ):
        assert browser.send("/settings/moves", sent)["Location"] == PAGE
        assert told in text_of(browser.get(PAGE))
        assert User.objects.get(pk=alice.pk).follow_moves is bool(sent)
