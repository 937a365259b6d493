"""A small soak, and what each of its checks would find; `make soak` is the large one."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.soak import checks, clock, people
from tests.soak.listeners import Listener
from tests.soak.soak import AFTERNOON, MORNING, Soak, begun

SEED = 20


@pytest.fixture(scope="module")
def played() -> Iterator[Soak]:
    moving = clock.COMPILER is not None
    with begun(AFTERNOON if moving else MORNING, SEED, print, moving=moving) as soak:
        faults = soak.run()
        assert faults == []
        yield soak


def test_a_few_listeners_live_through_it_without_a_fault(played: Soak) -> None:
    assert played.ledger.statuses.total() > 100
    assert [status for status in played.ledger.statuses if status >= 500] == []
    assert [one.erased for one in played.listeners].count(True) == 1
    assert sum(len(one.regretted) for one in played.listeners) == 2
    assert all(one.notified for one in played.live_devices())


def test_it_would_find_a_row_that_the_events_do_not_make(played: Soak) -> None:
    change(played, "UPDATE users.play_statuses SET position = position + 1")
    faults = "\n".join(checks.rebuild_equals_live(played.instance))
    assert "users.play_statuses" in faults
    # the rebuild has repaired it
    assert list(checks.rebuild_equals_live(played.instance)) == []


def test_it_would_find_a_screen_that_differs(played: Soak) -> None:
    listener = there(played, "open")
    device = listener.devices[0]
    (key, entry), *_ = device.memory.of("play_statuses").items()
    device.memory.remember("play_statuses", {**entry, "position": entry["position"] + 1})
    (fault,) = checks.views_agree(listener)
    assert key in fault
    device.memory.remember("play_statuses", entry)


def test_it_would_find_what_a_live_connection_has_not_told(
    played: Soak, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = next(one for one in played.listeners if one.live_device is not None and not one.erased)
    assert listener.live_device is not None
    memory = listener.live_device.device.memory
    (key, entry), *_ = memory.of("play_statuses").items()
    memory.remember("play_statuses", {**entry, "position": entry["position"] + 1})
    monkeypatch.setattr(checks, "LIVE_WITHIN", 0)
    (fault,) = checks.views_agree(listener)
    assert "radio" in fault
    assert key in fault
    memory.remember("play_statuses", entry)


def test_it_would_find_statistics_that_count_what_nobody_heard(played: Soak) -> None:
    assert played.heard.counted > 0
    assert sum(played.heard.error.values()) / 3600 < played.heard.heard, "the rules are right in most of it"
    longer = "UPDATE users.listening SET seconds = seconds + 3600, starts_at = starts_at - interval '1 hour'"
    change(played, "CREATE TABLE counted AS TABLE users.listening")
    change(played, f"{longer} WHERE seconds > 0")
    faults = [
        fault
        for one in played.listeners
        if not one.erased
        for fault in checks.statistics_agree(one, played.clock.now())[1]
    ]
    change(played, "TRUNCATE users.listening")
    change(played, "INSERT INTO users.listening SELECT * FROM counted")
    change(played, "DROP TABLE counted")
    assert any("are counted; the rules explain" in fault for fault in faults)


def test_it_would_find_a_private_listener_in_public(played: Soak) -> None:
    silent = there(played, "silent")
    values = [silent.own.feed, silent.account.user_id]
    insert = (
        "INSERT INTO public.public_events (id, kind, rss_source_feed, feed_key, happened_at, user_id) VALUES"
        " (gen_random_uuid(), 'subscribe', %s, gen_random_uuid(), clock_timestamp(), %s)"
    )
    change(played, insert, *values)
    faults = "\n".join(checks.nothing_private_is_public(played.instance, played.listeners))
    assert silent.own.feed in faults
    assert f"a subscribe of {silent.account.username} is public, and should be private" in faults
    change(played, "DELETE FROM public.public_events WHERE user_id = %s", silent.account.user_id)


def test_it_would_find_an_open_listener_who_is_not_shown(played: Soak) -> None:
    change(played, "CREATE TABLE kept AS TABLE public.public_events")
    change(played, "DELETE FROM public.public_events WHERE user_id IS NOT NULL AND kind = 'subscribe'")
    faults = list(checks.nothing_private_is_public(played.instance, played.listeners))
    change(played, "INSERT INTO public.public_events SELECT * FROM kept ON CONFLICT DO NOTHING")
    change(played, "DROP TABLE kept")
    assert any("openly, and is not shown" in fault for fault in faults)


def test_it_would_find_what_should_have_been_removed(played: Soak) -> None:
    assert list(checks.removed_is_gone(played.instance, played.listeners)) == []
    (erased,) = (one for one in played.listeners if one.erased)
    change(
        played,
        "INSERT INTO events.snapshots (stream, topic, key, name, state)"
        " SELECT id, 'plays', gen_random_uuid(), '', %s FROM events.streams WHERE name LIKE 'user-%%'"
        " LIMIT 1",
        erased.own.feed,
    )
    (fault,) = checks.removed_is_gone(played.instance, played.listeners)
    assert fault == f"events.snapshots still holds {erased.own.feed}"
    change(played, "DELETE FROM events.snapshots WHERE state = %s", erased.own.feed)


def test_it_would_find_a_secret_in_the_log(played: Soak) -> None:
    listener = there(played, "silent")
    played.instance.lines.append(f"web | 12:00 follows {listener.paid.url}")
    (fault,) = checks.logs_are_clean(played.instance, played.listeners)
    assert listener.paid.url in fault
    played.instance.lines.pop()


def test_what_the_public_may_never_see_includes_every_silent_listener(played: Soak) -> None:
    words = people.never_public(played.listeners)
    silent = there(played, "silent")
    assert {silent.account.user_id, silent.account.username, silent.own.feed} <= set(words)
    assert there(played, "open").account.username not in words


def there(played: Soak, habit: str) -> Listener:
    """Return a listener with that habit whose account is not erased."""
    return next(one for one in played.listeners if one.habit.name == habit and not one.erased)


def change(played: Soak, statement: str, *values: Any) -> None:
    with played.instance.store() as store:
        store.execute(statement.encode(), values)
