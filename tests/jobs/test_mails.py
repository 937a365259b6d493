"""Sending mails through a real mail server, and what happens while there is none."""

import base64
import json
import logging
import re
import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
import redis
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from celery.exceptions import MaxRetriesExceededError, Retry
from django.core import mail as outgoing
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from accounts import mails as letters
from accounts.checks import mails_leave_safely
from accounts.models import User
from balados.mail import parse
from eventstore import counters
from jobs import mails
from tests.factories import UserFactory

pytestmark = pytest.mark.usefixtures("stores")


class MailServer:
    """Takes mails from whoever knows the password, except for those to an address that it refuses."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Envelope, address: str, _: Any) -> str:
        if not session.authenticated:
            return "530 who are you?"
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        return "250 OK"


def authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"post@example.org", b"p/w:d"))


@pytest.fixture
def server() -> Iterator[tuple[MailServer, Controller]]:
    handler = MailServer()
    controller = Controller(
        handler, hostname="127.0.0.1", port=free_port(), authenticator=authenticate, auth_require_tls=False
    )
    controller.start()
    yield handler, controller
    controller.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def use(settings: Settings, url: str) -> None:
    """Send mails as they are sent with this EMAIL_URL."""
    found = parse(url)
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = found.backend, found.host, found.port
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = found.user, found.password


def counted(outcome: str) -> float:
    """Return how many mails had this outcome, including what this process has not yet sent to Redis."""
    counters.publish()
    return counters.totals().get(("mails", outcome), 0)


def listener(name: str = "alice", **fields: Any) -> User:
    return UserFactory.create(username=name, **fields)


def test_a_mail_arrives_by_a_real_mail_server_in_text_and_html(
    server: tuple[MailServer, Controller], settings: Settings
) -> None:
    use(settings, f"smtp://post%40example.org:p%2Fw%3Ad@127.0.0.1:{server[1].port}")
    user = listener(name="Zoë", email="", new_email="zoe@example.org")
    mails.send.apply(args=("confirm", str(user.pk), "fr")).get()
    (raw,) = server[0].taken
    message = message_from_bytes(raw, policy=policy.default)
    assert (message["To"], message["From"]) == ("zoe@example.org", "Balados <balados@localhost>")
    assert message["Subject"] == "Confirmez votre adresse e-mail"
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = (part.get_content() for part in message.iter_parts())
    assert "Bonjour Zoë," in text
    (link,) = [line for line in text.splitlines() if line.startswith("http://localhost:8000/users/email/")]
    assert re.search(rf'<a href="{re.escape(link)}"[^>]*>Confirmer l’adresse</a>', html)


def test_while_the_mail_server_is_away_it_is_tried_again_ever_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(settings, f"smtp://127.0.0.1:{free_port()}")
    waits: list[float] = []

    def retry(countdown: float) -> Retry:
        waits.append(countdown)
        return Retry()

    monkeypatch.setattr(mails.send, "retry", retry)
    before, user = counted("delayed"), listener()
    for retries in (0, 1, 4, 20):
        with pytest.raises(Retry):
            mails.send.apply(args=("reset", str(user.pk), "en"), retries=retries, throw=True)
    assert waits == [30.0, 60.0, 480.0, 600.0]
    assert counted("delayed") == before + 4
    assert "A mail (reset) cannot be sent now, and is tried again (ConnectionRefusedError)" in caplog.text
    assert user.email not in caplog.text


def test_after_a_day_it_is_given_up_and_the_operator_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(settings, f"smtp://127.0.0.1:{free_port()}")

    def retry(countdown: float) -> None:
        raise MaxRetriesExceededError

    monkeypatch.setattr(mails.send, "retry", retry)
    before = counted("lost")
    mails.send.apply(args=("reset", str(listener().pk), "en"), throw=True)
    assert counted("lost") == before + 1
    assert [record.levelno for record in caplog.records][-1] == logging.ERROR


def test_an_address_that_the_mail_server_refuses_is_not_tried_again(
    server: tuple[MailServer, Controller], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    use(settings, f"smtp://post%40example.org:p%2Fw%3Ad@127.0.0.1:{server[1].port}")
    before = counted("refused")
    user = listener(email="nobody@example.org")
    mails.send.apply(args=("reset", str(user.pk), "en"), throw=True)
    assert counted("refused") == before + 1
    assert "nobody@" not in str(
        [record.getMessage() for record in caplog.records if record.name == "jobs.mails"]
    )


def test_who_was_told_at_the_old_address_has_it_here_no_longer() -> None:
    user = listener(email="new@example.org", old_email="old@example.org")
    mails.send.apply(args=("moved", str(user.pk), "en"), throw=True)
    user.refresh_from_db()
    assert (outgoing.outbox[-1].to, user.old_email) == (["old@example.org"], "")


def test_nobody_gets_a_mail_of_somebody_who_is_gone_or_has_no_address() -> None:
    gone, closed = UserFactory.build(), listener(is_active=False)
    for user_id in (None, str(gone.pk), str(closed.pk), str(listener("bob", email="").pk)):
        mails.send.apply(args=("reset", user_id, "en"), throw=True)
    assert outgoing.outbox == []


def test_an_order_waits_in_redis_and_names_no_address(settings: Settings) -> None:
    user = listener()
    letters.order("reset", user)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        messages = [each for each in client.lrange("default", 0, -1) if b"jobs.mails.send" in each]
    waiting = messages[0]  # the newest
    assert user.email.encode() not in waiting
    assert base64.b64decode(json.loads(waiting)["body"]).decode().startswith(f'[["reset", "{user.pk}", "en"]')


def test_while_redis_is_away_what_is_done_is_done_without_its_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(mails.send, "apply_async", fail)
    with pytest.raises(redis.RedisError):
        letters.order("reset", listener())
    letters.order_soon("password", listener("bob"))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("smtp+tls://me:a%40b@mail.example", ("mail.example", 587, "me", "a@b", False, True)),
        ("smtps://mail.example:4650", ("mail.example", 4650, "", "", True, False)),
        ("smtp://[::1]", ("::1", 25, "", "", False, False)),
    ],
)
def test_a_url_names_a_mail_server(url: str, found: tuple[Any, ...]) -> None:
    assert parse(url)[1:] == found
    assert parse("none:").backend == ""
    assert "console" in parse("console:").backend


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://mail.example", "smtp://", "smtp://h/path", "smtp://h:99999", "smtp://h?x=1"],
)
def test_what_names_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  environment.py says what is wrong
        parse(url)


def test_the_operator_hears_of_mails_that_travel_openly(settings: Settings) -> None:
    def check_ids() -> list[str | None]:
        return [message.id for message in mails_leave_safely(None)]

    assert check_ids() == []
    settings.EMAIL_HOST = "mail.example"
    assert check_ids() == ["accounts.W001"]
    settings.EMAIL_USE_TLS = True
    assert check_ids() == []
    settings.SENDS_MAIL = False
    assert check_ids() == ["accounts.I001"]
