from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts.models import UsedToken, User
from balados.celery import app
from eventstore import store
from jobs import tasks

pytestmark = pytest.mark.usefixtures("stores")


def test_every_scheduled_task_exists() -> None:
    app.autodiscover_tasks(force=True)
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, name


def test_it_forgets_tokens_that_have_expired_and_keeps_the_others() -> None:
    alice = User.objects.create_user("alice")
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
    stream = store.stream_of(uuid4())
    key = store.CommandId(key=uuid4(), fingerprint=b"x")
    store.remember(stream, key, position=0, version=0, answer=b"{}")
    assert tasks.purge_commands() == 0
    assert store.remembered(stream, key.key) is not None
    monkeypatch.setattr(tasks, "COMMANDS_KEPT", timedelta(seconds=-60))
    assert tasks.purge_commands() == 1
    assert store.remembered(stream, key.key) is None
