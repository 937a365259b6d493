"""What a newcomer tries first: the demo against a running server, and a rebuild while it runs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from examples.__main__ import running_server
from examples.two_devices import App, Browser, Device, feed, item
from tests.e2e.instances import OURS, ROOT, SETUP_TOKEN, Instance, eventually, free_port

TABLES = "users.subscriptions, users.play_statuses"


@pytest.fixture
def phone(instance: Instance) -> Device:
    return device_of(instance, "bob")


def device_of(instance: Instance, username: str) -> Device:
    """Return a device of a new listener who has authorized an app on the web pages."""
    browser = Browser(instance.url)
    browser.sign_up(username, "correct horse battery staple")
    app = App(f"org.example.{username}", "Castaway")
    return Device(instance.url, app, browser.authorize(app), "phone")


def test_the_demo_shows_two_devices_converging(instance: Instance) -> None:
    demo = subprocess.run(
        [sys.executable, "examples/two_devices.py", instance.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Both devices agree and nothing was lost." in demo.stdout
    assert "   it hears of 90 s after " in demo.stdout


def demo(**environment: str) -> str:
    """Return what ``make demo`` prints; fails unless the devices agree."""
    kept = {key: value for key, value in os.environ.items() if key not in OURS}
    command = [sys.executable, "-m", "examples"]
    run = subprocess.run(
        command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Both devices agree and nothing was lost." in run.stdout
    return run.stdout


def test_the_demo_finds_the_server_that_runs_at_its_port(instance: Instance) -> None:
    printed = demo(PORT=str(instance.port))
    assert printed.startswith("1. A listener authorizes the app")
    assert "This machine is none that it may ask" in printed


def test_the_demo_finds_no_server_where_none_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBLIC_URL")
    monkeypatch.setenv("PORT", str(free_port()))
    assert running_server() is None


def test_the_demo_starts_a_server_and_removes_it_where_it_cannot_register(
    newcomer: Instance, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    port = str(newcomer.port)
    printed = demo(PORT=port, TMPDIR=str(temporary))
    assert "has no administrator yet" in printed
    assert "Starting a server for the demo" in printed
    assert "The app shows it: The Demo Show, by Ada Example" in printed
    assert printed.count("  How it began") == printed.count("  Where it leads") == 1
    assert list(temporary.iterdir()) == []
    assert newcomer.manage("setup_link").strip() == f"{newcomer.url}/setup?token={SETUP_TOKEN}"

    printed = demo(PORT=port, SETUP_TOKEN=SETUP_TOKEN)
    assert printed.startswith("1. A listener authorizes the app")
    assert newcomer.manage("setup_link") == ""


def test_the_demo_imports_nothing_of_the_server() -> None:
    packages = {"balados", "accounts", "eventstore", "projections", "api", "web", "jobs", "django"}
    script = f"import sys, examples.real_feed; print([m for m in {packages!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr


def test_the_api_answers_byte_for_byte_the_same_after_a_rebuild(instance: Instance, phone: Device) -> None:
    live_for_a_while(phone)
    before = everything(phone)

    printed = instance.manage("rebuild_projections")

    assert "subscriptions" in printed
    assert everything(phone) == before


def test_the_api_answers_byte_for_byte_the_same_after_the_projections_are_wiped(instance: Instance) -> None:
    device = device_of(instance, "charlie")
    live_for_a_while(device)
    before = everything(device)

    with instance.store() as store:
        store.execute(f"TRUNCATE {TABLES}, users.projector_positions")
    instance.manage("rebuild_projections")

    assert everything(device) == before


def test_stopping_and_starting_again_loses_nothing(instance: Instance) -> None:
    device = device_of(instance, "dora")
    live_for_a_while(device)
    before = everything(device)
    instance.interrupt()
    instance.start()
    instance.wait_until_ready()
    assert any(line.endswith(f"| ready at {instance.url}") for line in instance.lines)
    assert "administrator" not in instance.output
    assert everything(device) == before


def live_for_a_while(device: Device) -> None:
    for number in range(30):
        name = feed(f"https://example.org/{number % 7}.xml")
        device.call("POST", "/api/v1/subscriptions", {"rss_source_feed": name})
        episode = item(f"episode-{number}", f"https://example.org/{number}.mp3")
        play = {"rss_source_feed": name, "rss_source_item": episode, "position": number, "played": False}
        device.call("POST", "/api/v1/plays", play)
    device.call("DELETE", f"/api/v1/subscriptions/{feed('https://example.org/3.xml').rstrip('=')}")


def everything(device: Device) -> list[bytes]:
    """Return the bytes of every read, once the read models have caught up with the device's last write."""
    answers: list[Any] = []

    def read() -> bool:
        answers[:] = [
            get(device, "/api/v1/subscriptions?include=removed"),
            get(device, "/api/v1/plays?limit=100"),
        ]
        return all(answer.status_code == 200 for answer in answers)

    eventually(read)
    return [answer.content for answer in answers]


def get(device: Device, path: str) -> requests.Response:
    token = device.app.request_token(device.user_id, device.device_id, device.name)
    headers = {"Authorization": f"Bearer {token}", "Balados-Position": device.position}
    return requests.get(device.server + path, headers=headers, timeout=30)
