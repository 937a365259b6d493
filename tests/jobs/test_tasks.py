import threading
from datetime import timedelta
from typing import cast
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import OperationalError, connections
from django.utils import timezone

from accounts.erasure import begin, begun
from accounts.models import Session, UsedToken, User
from accounts.sessions import SessionStore
from balados.celery import app
from eventstore import log
from eventstore.appending import CommandId
from eventstore.domain.subscriptions import Subscribe
from jobs import tasks
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.runner import Runner
from tests.api.devices import feed
from tests.factories import UserFactory
from tests.jobs.working import dispatch_all, read_models, run_projectors, state_of
from tests.projections.running import running
from tests.searching import found

pytestmark = pytest.mark.usefixtures("stores")


def test_a_task_whose_store_is_away_is_one_line_in_the_log_and_any_other_failure_is_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(failure: Exception) -> None:
        def fail(*_: object) -> None:
            raise failure

        monkeypatch.setattr(tasks, "delete_old_commands", fail)

    failing(OperationalError("connection refused"))
    assert tasks.purge_commands() is None
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("purge_commands: a store is away (OperationalError), the rest next time", None)
    ]
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        tasks.purge_commands()


def test_two_schedulers_whose_tasks_all_run_at_once_do_what_one_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice, bob = (UserFactory.create(username=name) for name in ("alice", "bob"))
    for user in (alice, bob):
        dispatch_all(*(subscription(user, number) for number in range(30)))
    run_projectors()
    begin(alice.pk, timezone.now())
    app.loader.import_default_modules()
    failures: list[BaseException] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        try:
            barrier.wait(60)
            for entry in settings.CELERY_BEAT_SCHEDULE.values():
                app.tasks[str(entry["task"])](*cast(tuple[int, ...], entry.get("args", ())))
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    with running(Runner()):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert "the rest next time" not in caplog.text  # no deadlock, for example
    assert begun() == []
    assert found(str(alice.pk)) == []
    assert len(state_of(bob.pk).subscriptions) == 30
    run_projectors()
    rows = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == rows


def subscription(user: User, number: int) -> Subscribe:
    return Subscribe(user_id=user.pk, feed=feed(number), now=timezone.now())


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, name


def test_it_forgets_tokens_that_have_expired_and_keeps_the_others() -> None:
    alice = UserFactory.create(username="alice")
    now = timezone.now()
    for jti, expires_at in {"old": now - timedelta(seconds=1), "new": now + timedelta(hours=1)}.items():
        UsedToken.objects.create(user=alice, app_id="app", jti=jti, expires_at=expires_at)
    assert tasks.purge_used_tokens() == 1
    assert [token.jti for token in UsedToken.objects.all()] == ["new"]


def test_it_deletes_sessions_that_have_expired_and_keeps_the_others() -> None:
    expired, valid = SessionStore(), SessionStore()
    expired.set_expiry(-60)
    for session in (expired, valid):
        session.save()
    tasks.clear_sessions()
    assert [row.session_key for row in Session.objects.all()] == [valid.session_key]


def test_it_forgets_idempotency_keys_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = log.stream_of(uuid4())
    key = CommandId(key=uuid4(), fingerprint=b"x")
    log.remember_command(stream, key, position=0, version=0, answer=b"{}")
    assert tasks.purge_commands() == 0
    assert log.remembered_command(stream, key.key) is not None
    monkeypatch.setattr(tasks, "COMMANDS_KEPT", timedelta(seconds=-60))
    assert tasks.purge_commands() == 1
    assert log.remembered_command(stream, key.key) is None
