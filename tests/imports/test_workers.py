"""Workers that die, stop, or run twice; and an operator who waits for an import."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from accounts import erasure
from accounts.import_models import LEASE, LONGEST, MOST_AT_ONCE, AlreadyRunning, ServerImport
from accounts.models import User
from balados.celery import app
from feeds.imports import stages
from jobs import imports as jobs
from projections.erasure import erase_history
from tests.factories import UserFactory
from tests.feeds.origin import Origin
from tests.imports.importing import begin, counts, events_of, go_on, report, state_of
from tests.imports.servers import PASSWORD, Mygpo, play


class Killed(BaseException):
    """An exception that no code catches."""


@contextmanager
def dying(survived: int) -> Iterator[None]:
    """Let a worker save its progress ``survived`` times, and die before it saves what it recorded next."""
    noted, keep = 0, ServerImport.keep

    def note(row: ServerImport, *args: Any) -> bool:
        nonlocal noted
        noted += 1
        if noted > survived:
            raise Killed
        return keep(row, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerImport, "keep", note)
        yield


@pytest.fixture
def server(origin: Origin) -> Mygpo:
    found = Mygpo(origin)
    found.lists["phone"] = ["https://shows.example/1.xml"]
    found.actions = [
        play(number, at=f"2025-03-01T12:{number:02}:00Z", device=None if number % 2 else "desk")
        for number in range(1, 41)
    ]
    found.actions[11] = {"action": "dance"}
    found.page_size = 20
    return found


def test_wherever_a_worker_dies_another_goes_on_and_nothing_comes_or_counts_twice(
    server: Mygpo, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "ACTIONS_AT_ONCE", 8)
    row, moment = begin(bob, server.address), timezone.now()
    for survived in range(1, 30):
        try:
            with dying(survived):
                go_on(row, lambda moment=moment: moment)  # type: ignore[misc]
        except Killed:
            assert ServerImport.objects.claim(row.pk, moment) is None
            moment += LEASE
        else:
            break
    assert survived > 4
    progress = report(row)
    assert progress.stage == "done"
    assert counts(progress) == {"devices": (1, 0, 0), "podcasts": (1, 0, 0), "episodes": (39, 0, 1)}
    assert [row.number for row in progress.rows] == [12]
    assert len(state_of(bob).plays) == 39
    # two devices, one podcast with the default collection, and the plays
    assert events_of(bob) == 2 + 2 + 39


def test_a_worker_that_is_to_stop_leaves_it_to_the_next(server: Mygpo, bob: User) -> None:
    row = begin(bob, server.address)
    assert go_on(row, between=lambda _: True) is None
    row.refresh_from_db()
    assert (row.ended_at, row.leased_until) == (None, None)
    assert ServerImport.objects.waiting(timezone.now()) == [row.pk]


def test_what_no_message_told_is_taken_up_within_a_minute(
    server: Mygpo, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(jobs.run, "apply_async", lambda args, **_: sent.append(args[0]))
    row = begin(bob, server.address)
    assert jobs.resume() == 1
    assert sent == [str(row.pk)]
    app.loader.import_default_modules()
    app.tasks["jobs.imports.run"](*sent)
    assert report(row).stage == "done"
    assert jobs.resume() == 0


def test_a_fault_of_ours_is_tried_again_and_ends_in_the_end(
    server: Mygpo, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = begin(bob, server.address)
    monkeypatch.setattr(stages, "look", None)
    monkeypatch.setitem(stages.STAGES, "looking", (lambda run: 1 / 0, "devices"))
    with pytest.raises(ZeroDivisionError):
        jobs.run(str(row.pk))
    assert ServerImport.objects.waiting(timezone.now()) == []
    assert ServerImport.objects.waiting(timezone.now() + jobs.AFTER_FAILURE) == [row.pk]
    ServerImport.objects.update(claims=100)
    jobs.resume()
    row.refresh_from_db()
    assert (row.error, bytes(row.password)) == ("given_up", b"")


def test_whatever_comes_the_password_is_forgotten(server: Mygpo, bob: User) -> None:
    row = begin(bob, server.address, now=timezone.now() - LONGEST)
    assert row.secret == PASSWORD
    assert jobs.resume() == 0
    row.refresh_from_db()
    assert (row.error, row.secret) == ("given_up", "")
    assert server.asked == []


def test_a_key_that_was_changed_ends_it(server: Mygpo, bob: User, settings: Any) -> None:
    row = begin(bob, server.address)
    settings.SECRET_KEY = "another" * 10
    go_on(row)
    row.refresh_from_db()
    assert row.error == "given_up"
    assert server.asked == []


def test_one_listener_has_one_at_a_time_and_all_together_a_few(server: Mygpo, bob: User) -> None:
    row, now = begin(bob, server.address), timezone.now()
    with pytest.raises(AlreadyRunning):
        begin(bob, server.address)
    others = [begin(UserFactory.create(), server.address) for _ in range(MOST_AT_ONCE)]
    claimed = [ServerImport.objects.claim(other.pk, now) for other in others]
    assert None not in claimed
    assert ServerImport.objects.claim(row.pk, now) is None
    others[0].cancel(now)
    assert ServerImport.objects.claim(row.pk, now) is not None
    assert ServerImport.objects.claim(row.pk, now) is None


def test_who_stops_it_or_is_erased_meanwhile_gets_nothing_more(server: Mygpo, bob: User) -> None:
    row = begin(bob, server.address)
    assert go_on(row, between=lambda _: not row.cancel(timezone.now())) is None
    row.refresh_from_db()
    assert row.error == "cancelled"
    assert server.asked == ["/api/2/devices/alice.json"] * 2

    def erase(_: Any) -> bool:
        erasure.begin(bob.pk, timezone.now())
        assert erasure.complete(bob.pk, erase_history)["server_imports"] == 2
        return False

    row = begin(bob, server.address)
    assert go_on(row, between=erase) is None
    assert not ServerImport.objects.exists()


def import_from(*arguments: str) -> str:
    out = StringIO()
    call_command("import_from", *arguments, stdout=out)
    return out.getvalue()


def test_the_operator_waits_for_it_and_reads_the_report(
    server: Mygpo, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPORT_PASSWORD", PASSWORD)
    output = import_from(server.address, "--user", "alice", "--for", "BOB")
    assert "Listening history: 40\n" in output
    assert "Listening history: 39 new, 0 there already, 1 refused" in output
    assert "Action 12: What was done with it is of a kind that is not known here." in output
    assert PASSWORD not in output
    assert "Listening history: 0 new, 39 there already, 1 refused" in import_from(
        server.address, "--user", "alice", "--for", "bob"
    )
    monkeypatch.setenv("IMPORT_PASSWORD", "wrong password")
    for arguments, wanted in [
        ((server.address, "--user", "alice", "--for", "bob"), "does not know this user name"),
        ((server.address, "--user", "alice", "--for", "nobody"), "no active account nobody"),
        (("ftp://x.example", "--user", "alice", "--for", "bob"), "Not the address of a server"),
    ]:
        with pytest.raises(CommandError, match=wanted):
            import_from(*arguments)
    assert not ServerImport.objects.filter(ended_at=None).exists()
    assert not any(bytes(row.password) for row in ServerImport.objects.all())
    begin(bob, server.address, now=timezone.now() - timedelta(hours=1))
    with pytest.raises(CommandError, match="under way"):
        import_from(server.address, "--user", "alice", "--for", "bob")
