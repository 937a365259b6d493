"""Setting a new password: with the old one, and by a link in an e-mail or from an administrator."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Session, User
from accounts.recovery import Tokens, reset_link
from tests.factories import PASSWORD
from tests.web.people import Response, Visitor, text_of
from tests.web.post import delivered, last_mail, link_in
from web import passwords

pytestmark = pytest.mark.usefixtures("operator")

NEW = "another fine password"
FORM = {"password1": NEW, "password2": NEW}
CHANGE = {"password": PASSWORD, **FORM}
FRENCH = {"Accept-Language": "fr"}


def entered(name: str = "Alice", password: str = PASSWORD) -> Visitor:
    visitor = Visitor()
    visitor.send("/users/log_in", {"username": name, "password": password})
    return visitor


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/subscriptions").status_code == 200


def ask(who: str, visitor: Visitor | None = None) -> Response:
    return (visitor or Visitor()).send("/users/reset", {"who": who})


def path_of(link: str) -> str:
    return link.removeprefix("http://localhost:8000")


def follow(path: str, visitor: Visitor) -> Response:
    """Open a link as a browser does, and return the page with the form."""
    response = visitor.get(path)
    if response.status_code == 302:
        response = visitor.get(response["Location"])
    return response


def reset(path: str, visitor: Visitor | None = None) -> Response:
    visitor = visitor or Visitor()
    page = follow(path, visitor)
    return visitor.send(page.request["PATH_INFO"], FORM)


def test_a_changed_password_ends_every_other_session_and_says_so(alice: User) -> None:
    here, there = entered(), entered()
    with delivered():
        response = here.send("/settings/password", CHANGE)
    assert (response.status_code, response["Location"]) == (302, "/settings/account")
    assert "1 other browser is logged out" in text_of(here.get("/settings/account"))
    assert not is_in(there)
    assert Session.objects.filter(user_id=alice.pk).count() == 1
    assert is_in(entered(password=NEW))
    assert (last_mail().to, last_mail().subject) == (["alice@example.org"], "Your password was changed")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"password": "not it at all"}, "This is not your password."),
        ({"password2": "something else"}, "The two passwords differ."),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"password": ""}, "This field is required."),
    ],
    ids=["wrong", "differ", "short", "none"],
)
def test_what_is_wrong_stands_beside_its_field(alice: User, fields: dict[str, str], message: str) -> None:
    visitor = entered()
    page = visitor.send("/settings/password", {**CHANGE, **fields})
    assert page.status_code == 400
    assert message in text_of(page).split('class="errorlist"')[1]
    assert NEW not in text_of(page)
    assert is_in(entered())


def test_the_password_cannot_be_guessed_at_an_open_page(alice: User) -> None:
    visitor = Visitor(alice)
    wrong = {**CHANGE, "password": "not it at all"}
    assert {visitor.send("/settings/password", wrong).status_code for _ in range(10)} == {400}
    assert visitor.send("/settings/password", CHANGE).status_code == 429
    # nor may it be tried on another page that asks for the password
    assert visitor.send("/settings/erase", {"password": PASSWORD, "sure": "on"}).status_code == 429


def test_a_forgotten_password_is_replaced_by_a_link_that_works_once(alice: User) -> None:
    there = entered()
    with delivered():
        assert ask("ALICE")["Location"] == "/users/reset/sent"
        path = link_in(last_mail())
        assert "alice" not in path
        visitor = Visitor()
        page = follow(path, visitor)
        # the form's address does not contain the token, and no referrer reveals it
        assert path not in text_of(page)
        assert page["Referrer-Policy"] == "no-referrer"
        assert "no-store" in page["Cache-Control"]
        assert reset(path)["Location"] == "/users/log_in"
    assert not is_in(there)
    assert is_in(entered(password=NEW))
    again = follow(path, Visitor())
    assert again.status_code == 404
    assert "no longer works" in text_of(again)
    assert last_mail().subject == "Your password was changed"


def test_a_mail_is_in_the_language_of_its_listener_in_text_and_html(alice: User) -> None:
    with delivered():
        Visitor().send("/users/reset", {"who": "alice@Example.org"}, headers=FRENCH)
        french = last_mail()
        User.objects.filter(pk=alice.pk).update(language="en")
        Visitor().send("/users/reset", {"who": "alice"}, headers=FRENCH)
    assert french.subject == "Un nouveau mot de passe pour Balados"
    assert "Bonjour Alice," in french.body
    assert last_mail().subject == "A new password for Balados"
    html = getattr(french, "alternatives")[0]  # noqa: B009
    assert (html.mimetype, link_in(french) in html.content) == ("text/html", True)
    assert french.from_email == "Balados <balados@localhost>"


def test_nobody_learns_who_has_an_account_or_an_address(alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(email="", new_email="bob@example.org")
    pages = set()
    with delivered() as ordered:
        for who in ("Alice", "alice@example.org", "Bob", "bob@example.org", "Nobody", "nobody@example.org"):
            visitor = Visitor()
            response = ask(who, visitor)
            page = text_of(visitor.get(response["Location"]))
            pages.add(
                (response.status_code, response["Location"], page.split("<main")[1].split("</main>")[0])
            )
    assert len(pages) == 1
    # the page does the same work each time, too: one order each, whether or not the worker sends an e-mail
    assert ordered == [alice.pk, alice.pk, bob.pk, None, None, None]
    assert [message.to for message in mail.outbox] == [["alice@example.org"]] * 2


def test_links_are_sent_to_one_listener_and_from_one_address_so_often(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with delivered():
        for who in ("alice", "ALICE", "ａlice", "Alice"):
            assert ask(who).status_code == 302
    assert len(mail.outbox) == passwords.RESETS_FOR_ONE == 3
    monkeypatch.setattr(passwords, "RESETS", 4)
    refused = ask("somebody")
    assert (refused.status_code, int(refused["Retry-After"]) > 0) == (429, True)


@pytest.mark.parametrize("who", ["", "a\0b", "x" * 300], ids=["nothing", "NUL", "long"])
def test_a_name_that_nobody_can_have_is_told_beside_its_field(who: str) -> None:
    assert ask(who).status_code == 400


def test_a_link_ends_with_its_day_with_a_log_in_and_with_the_account(alice: User, settings: Settings) -> None:
    now = timezone.now()
    day = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)

    def status(link: str) -> int:
        return follow(path_of(link), Visitor()).status_code

    assert status(reset_link(alice, now - day + timedelta(minutes=1))) == 200
    assert status(reset_link(alice, now - day - timedelta(minutes=1))) == 404
    link = reset_link(alice, now)
    for damaged in (link[:-1], link + "0", link.replace("/users/reset/", "/users/reset/x"), link + "é"):
        assert status(damaged) == 404
    entered()
    assert status(link) == 404
    alice.refresh_from_db()
    link = reset_link(alice, now)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert status(link) == 404


def test_a_link_of_bob_sets_nothing_for_alice(alice: User, bob: User) -> None:
    hers, his = (path_of(reset_link(user, timezone.now())).split("/") for user in (alice, bob))
    assert follow("/".join([*hers[:4], his[4]]), Visitor()).status_code == 404


def test_the_operator_prints_a_link(alice: User) -> None:
    out = StringIO()
    call_command("reset_link", "alice", stdout=out)
    assert reset(path_of(out.getvalue().strip()))["Location"] == "/users/log_in"
    assert is_in(entered(password=NEW))
    with pytest.raises(CommandError, match="No such user"):
        call_command("reset_link", "nobody")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(CommandError, match="switched off"):
        call_command("reset_link", "alice")


def test_it_also_serves_whoever_has_no_password_yet(alice: User) -> None:
    alice.set_unusable_password()
    alice.save()
    assert reset(path_of(reset_link(alice, timezone.now())))["Location"] == "/users/log_in"
    assert is_in(entered(password=NEW))


def test_a_token_is_of_the_time_that_is_given(alice: User) -> None:
    at = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert Tokens().token_of(alice, at) == Tokens().token_of(alice, at)
    assert not Tokens().check_token(alice, Tokens().token_of(alice, at - timedelta(days=365)))


def test_a_bad_new_password_is_told_on_the_page_of_the_link(alice: User) -> None:
    visitor = Visitor()
    page = follow(path_of(reset_link(alice, timezone.now())), visitor)
    refused = visitor.send(page.request["PATH_INFO"], {"password1": "short", "password2": "short"})
    assert refused.status_code == 400
    assert "errorlist" in text_of(refused)


def test_a_password_manager_finds_the_page() -> None:
    assert Visitor().get("/.well-known/change-password")["Location"] == "/settings/password"


def test_a_server_without_mail_says_whom_to_ask(settings: Settings) -> None:
    settings.SENDS_MAIL = False
    for page in (Visitor().get("/users/reset"), ask("alice")):
        assert "This server sends no mail" in text_of(page)
    assert 'name="email"' not in text_of(Visitor().get("/users/register"))
