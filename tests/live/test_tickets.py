"""How a listener's page connects: with a ticket, and never with its cookie."""

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import sessions
from accounts.models import User
from tests.api.devices import Device, play
from tests.live.sockets import Gateway, Socket

Connect = Callable[..., Socket]
ORIGIN = "http://localhost:8000"


@pytest.fixture
def page(alice: User) -> Client:
    """A client logged in as Alice, as the browser of one of her pages."""
    client = Client(headers={"Host": "localhost:8000"})
    client.force_login(alice)
    return client


def ticket(page: Client) -> str:
    answer = page.post("/live/ticket")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert answer.json()["url"].startswith("ws")
    return str(answer.json()["ticket"])


def connected(connect: Connect, page: Client) -> Socket:
    socket = connect(Origin=ORIGIN)
    socket.send({"type": "auth", "token": ticket(page)})
    assert socket.receive()["type"] == "ready"
    return socket


def test_a_page_is_told_what_an_app_does_and_can_send_no_command(
    connect: Connect, page: Client, phone: Device
) -> None:
    socket = connected(connect, page)
    phone.post("plays", play(position=300))
    assert socket.changes()["data"]["play_statuses"][0]["position"] == 300
    refused = socket.command("record_play", **play())
    assert (refused["status"], refused["errors"][0]["code"]) == (403, "not_allowed")


def test_a_ticket_counts_once_and_from_its_own_origin(connect: Connect, page: Client) -> None:
    used = ticket(page)
    first = connect(Origin=ORIGIN)
    first.send({"type": "auth", "token": used})
    assert first.receive()["type"] == "ready"
    elsewhere = ("https://evil.example", "null", "http://localhost:8001", "")
    for origin, token in ((ORIGIN, used), *((each, ticket(page)) for each in elsewhere)):
        socket = connect(**({"Origin": origin} if origin else {}))
        socket.send({"type": "auth", "token": token})
        assert socket.closing() == (4401, "not_authenticated"), origin


def test_a_page_behind_a_proxy_that_nobody_has_named_connects(
    connect: Connect, page: Client, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://balados.example"
    socket = connect(Origin="https://balados.example")
    socket.send({"type": "auth", "token": ticket(page)})
    assert socket.receive()["type"] == "ready"


def test_a_ticket_takes_the_pages_own_form(alice: User, settings: Settings) -> None:
    stranger = Client(enforce_csrf_checks=True)
    stranger.force_login(alice)
    assert stranger.post("/live/ticket").status_code == 403
    assert Client().post("/live/ticket").status_code == 302
    settings.LIVE = False
    client = Client()
    client.force_login(alice)
    assert client.post("/live/ticket").status_code == 404


def test_logging_out_everywhere_ends_the_connections_of_pages(
    gateway: Gateway, connect: Connect, page: Client, alice: User
) -> None:
    socket = connected(connect, page)
    gateway.check()
    sessions.end_sessions(alice.pk)
    gateway.check()
    assert socket.closing() == (4403, "logged_out")


def test_another_password_ends_the_connections_of_pages(
    gateway: Gateway, connect: Connect, page: Client, alice: User
) -> None:
    socket = connected(connect, page)
    alice.set_password("a password that is new 1")
    alice.save()
    gateway.check()
    assert socket.closing() == (4403, "logged_out")
