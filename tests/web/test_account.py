"""/settings/account and the pages that it leads to, and how listeners erase their accounts."""

import re
from datetime import UTC, datetime
from unittest.mock import patch

import psycopg
import pytest
from django.utils import timezone

from accounts import erasure
from accounts.models import User
from jobs import tasks
from tests.factories import PASSWORD
from tests.web.library import follow, show
from tests.web.people import Visitor, text_of
from web.account import KINDS, OTHERS

PAGE = "/settings/account"
ERASE = "/settings/erase"


def fields(**changes: str) -> dict[str, str]:
    return {"password": PASSWORD, "sure": "on", **changes}


def test_strangers_are_sent_to_log_in() -> None:
    assert Visitor().get(PAGE)["Location"] == "/users/log_in?next=/settings/account"
    assert Visitor().send(ERASE, fields())["Location"] == "/users/log_in?next=/"


def test_the_pages_lead_there(alice: User) -> None:
    assert f'href="{PAGE}"' in text_of(Visitor(alice).get("/subscriptions"))
    page = Visitor(alice).get(PAGE)
    assert str(alice.pk) in text_of(page)
    assert "no-store" in page["Cache-Control"]


def test_with_the_password_everything_goes_and_the_receipt_counts_it(alice: User) -> None:
    browser = Visitor()
    follow(alice, show(1))
    browser.send("/users/log_in", {"username": "alice", "password": PASSWORD})
    answer = browser.send(ERASE, fields())
    assert answer.status_code == 200
    page = text_of(answer)
    assert "<h1>Erased</h1>" in page
    receipt = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert receipt.keys() <= {str(words) for words in (*KINDS.values(), OTHERS)}
    assert (receipt["Account"], receipt["Podcasts"]) == ("1", "1")
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
    answer = browser.send(ERASE, fields(**changes))
    assert answer.status_code == 400
    assert "not it at all" not in text_of(answer)
    assert User.objects.get(pk=alice.pk).is_active
    assert browser.get("/subscriptions").status_code == 200


def test_the_last_administrator_is_told_what_goes_with_him(alice: User, bob: User) -> None:
    def is_warned() -> bool:
        return "the only administrator" in text_of(Visitor(alice).get(ERASE))

    assert not is_warned()
    User.objects.filter(pk=alice.pk).update(is_superuser=True)
    assert is_warned()
    User.objects.filter(pk=bob.pk).update(is_superuser=True)
    assert not is_warned()


def test_passwords_cannot_be_guessed_there(alice: User) -> None:
    browser = Visitor(alice)
    for _ in range(10):
        assert browser.send(ERASE, fields(password="not it at all")).status_code == 400
    answer = browser.send(ERASE, fields())
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert User.objects.filter(pk=alice.pk, is_active=True).exists()


def test_another_site_cannot_send_it(alice: User) -> None:
    assert Visitor(alice).post(ERASE, fields()).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


def test_where_a_store_is_away_the_account_is_closed_and_the_rest_goes_later(alice: User) -> None:
    browser = Visitor(alice)
    with patch.object(erasure, "complete", side_effect=psycopg.OperationalError("away")):
        answer = browser.send(ERASE, fields())
    assert answer.status_code == 200
    assert "Being erased" in text_of(answer)
    login = {"username": "alice", "password": PASSWORD}
    assert Visitor().send("/users/log_in", login).status_code == 400
    assert browser.get("/subscriptions").status_code == 302
    assert tasks.finish_erasures() == 1
    assert not User.objects.filter(pk=alice.pk).exists()


def test_the_language_is_kept_and_told_in_that_language(alice: User) -> None:
    browser = Visitor(alice)
    assert browser.send("/settings/preferences", {"language": "fr"})["Location"] == PAGE
    page = text_of(browser.get(PAGE))
    assert '<html lang="fr">' in page
    assert "C’est enregistré." in page
    browser.send("/settings/preferences", {"language": ""})
    assert '<html lang="en">' in text_of(browser.get(PAGE))
    refused = browser.send("/settings/preferences", {"language": "xx", "time_zone": "Mars/Olympus"})
    assert refused.status_code == 400
    assert text_of(refused).count("Select a valid choice") == 2


def test_times_are_those_of_the_time_zone_that_is_set(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(date_joined=datetime(2026, 7, 1, 23, 30, tzinfo=UTC))
    browser = Visitor(alice)
    assert 'title="1 July 2026, 23:30 UTC"' in text_of(browser.get(PAGE))
    browser.send("/settings/preferences", {"time_zone": "Asia/Kathmandu"})
    page = text_of(browser.get(PAGE))
    assert '<html lang="en" data-time-zone="Asia/Kathmandu">' in page
    assert "2 July 2026, 05:15" in page
    assert timezone.get_current_timezone_name() == "UTC", "the thread serves others next"


def test_who_does_not_go_along_with_moved_podcasts_says_so(alice: User) -> None:
    browser = Visitor(alice)
    assert "Go along when a podcast moves to another address" in text_of(browser.get("/settings/preferences"))
    sents: tuple[dict[str, str], ...] = ({}, {"follow_moves": "on"})
    for sent in sents:
        assert browser.send("/settings/preferences", sent)["Location"] == PAGE
        assert User.objects.get(pk=alice.pk).follow_moves is bool(sent)
