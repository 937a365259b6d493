"""/settings/email: giving an e-mail address, confirming it by a link, changing it and removing it."""

import pytest
from django.core import mail

from accounts.models import User
from tests.factories import PASSWORD
from tests.web.people import Response, Visitor, account, text_of
from tests.web.post import delivered, last_mail, link_in
from web import emails

pytestmark = pytest.mark.usefixtures("operator")

PAGE = "/settings/email"
OTHER = "alice@elsewhere.example"


def give(visitor: Visitor, address: str = OTHER, **fields: str) -> Response:
    return visitor.send(PAGE, {"email": address, "password": PASSWORD, **fields})


def addresses(user: User) -> tuple[str, str, str]:
    user.refresh_from_db()
    return user.email, user.new_email, user.old_email


def test_an_address_counts_once_its_link_was_opened_and_the_old_one_is_told(alice: User) -> None:
    visitor = Visitor(alice)
    with delivered():
        assert give(visitor)["Location"] == PAGE
        assert (last_mail().to, addresses(alice)) == ([OTHER], ("alice@example.org", OTHER, ""))
        assert "is not confirmed yet" in text_of(visitor.get(PAGE))
        path = link_in(last_mail())
        # opening the link alone, as programs that scan e-mails do, confirms nothing
        page = Visitor().get(path)
        assert OTHER in text_of(page)
        assert addresses(alice)[1] == OTHER
        assert Visitor().send(path, {})["Location"] == "/"
    assert addresses(alice) == (OTHER, "", "")
    assert last_mail().to == ["alice@example.org"]
    assert last_mail().subject == "Your e-mail address was changed"
    assert OTHER not in str(last_mail().body)
    used = Visitor().send(path, {})
    assert (used.status_code, "no longer works" in text_of(used)) == (404, True)


def test_the_address_of_a_new_listener_waits_for_its_link() -> None:
    visitor = Visitor()
    with delivered():
        visitor.send("/users/register", account(email=OTHER))
        user = User.objects.get(username="Alice")
        assert f"Open the link that was sent to {OTHER}." in text_of(visitor.get("/"))
        assert addresses(user) == ("", OTHER, "")
        # before the confirmation no link for a new password is sent there: the address may be somebody else's
        Visitor().send("/users/reset", {"who": "Alice"})
        assert [message.subject for message in mail.outbox] == ["Confirm your e-mail address"]
        assert visitor.send(link_in(last_mail()), {})["Location"] == PAGE
    assert addresses(user) == (OTHER, "", "")


def test_a_later_address_makes_the_link_of_the_first_worthless(alice: User) -> None:
    visitor = Visitor(alice)
    with delivered():
        give(visitor)
        first = link_in(last_mail())
        give(visitor, "third@example.org")
        assert visitor.get(first).status_code == 404
        # entering the confirmed address again needs no confirmation
        give(visitor, "alice@example.org")
    assert addresses(alice) == ("alice@example.org", "", "")


def test_an_address_is_taken_away_and_told(alice: User) -> None:
    visitor = Visitor(alice)
    with delivered():
        assert give(visitor, "", remove="1").status_code == 302
    assert addresses(alice) == ("", "", "")
    assert last_mail().to == ["alice@example.org"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"password": "not it"}, "This is not your password."),
        ({"email": "no address"}, "Enter a valid email address."),
        ({"password": "not it", "remove": "1"}, "This is not your password."),
    ],
    ids=["password", "address", "removal"],
)
def test_it_takes_the_password_and_an_address(alice: User, fields: dict[str, str], message: str) -> None:
    page = give(Visitor(alice), **{"address": fields.get("email", OTHER), **fields})
    assert page.status_code == 400
    assert message in text_of(page)
    assert f'value="{fields.get("email", OTHER)}"' in text_of(page), "what was typed is kept"
    assert addresses(alice) == ("alice@example.org", "", "")


def test_links_are_sent_so_often(alice: User) -> None:
    visitor = Visitor(alice)
    assert visitor.send(f"{PAGE}/again", {})["Location"] == PAGE, "there is nothing to confirm"
    give(visitor)
    answers = [visitor.send(f"{PAGE}/again", {}).status_code for _ in range(emails.LINKS)]
    assert answers == [302] * (emails.LINKS - 1) + [429]
