"""Reference data and the demonstration: adding them, adding them again, and removing them, without touching
the data of others."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import erasure, ledger
from accounts.models import User
from eventstore import dispatcher, log
from eventstore.domain.messages import INSTANCE
from eventstore.erasure import digest_of
from feeds.models import Category
from operations import erasures
from operations.seeds import demo, history, reference
from operations.seeds.history import LISTENERS
from operations.seeds.reference import Changes
from projections import erasure as rows
from tests import leaks
from tests.conftest import clear_caches
from tests.factories import UserFactory
from tests.projecting import bring_up_to_date

pytestmark = pytest.mark.usefixtures("stores")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def up(path: Path = reference.CATEGORIES) -> Changes:
    return reference.up(print, path)


def tree() -> dict[str, tuple[str, str | None, bool]]:
    return {each.slug: (each.name, each.parent_id, each.seeded) for each in Category.objects.all()}


# --- reference data


def test_there_are_nineteen_categories_in_two_levels_and_again_changes_nothing() -> None:
    assert up() == (110, 0)
    assert Category.objects.filter(parent=None).count() == 19
    assert not Category.objects.filter(parent__parent__isnull=False).exists()
    assert Category.objects.get(slug="tv-reviews").parent == Category.objects.get(name="TV & Film")
    assert str(up()) == "up to date"


def test_down_removes_exactly_what_up_made() -> None:
    Category.objects.create(slug="my-own", name="My own")
    Category.objects.create(slug="arts", name="Art, as we say here")
    mine = tree()
    assert up() == (109, 0)
    assert Category.objects.get(slug="arts").name == "Art, as we say here"
    assert reference.down(print) == 109
    assert tree() == mine
    assert reference.down(print) == 0


def test_what_somebody_refers_to_stays_and_so_does_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    up()
    Category.objects.create(slug="etching", name="Etching", parent_id="visual-arts")
    with pytest.raises(CommandError, match=r"Nothing was removed: rows of system\.categories refer to it"):
        call_command("seed_down")
    assert Category.objects.count() == 111


def test_a_later_version_renames_and_withdraws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    up()
    Category.objects.create(slug="etching", name="Etching", parent_id="visual-arts")
    text = reference.CATEGORIES.read_text()
    later = tmp_path / "categories.toml"
    changed = text.replace('"Books"', '"Books and reading"').replace('improv = "Improv"\n', "")
    later.write_text(changed.replace('visual-arts = "Visual Arts"\n', ""))
    assert up(later) == (1, 1)
    assert Category.objects.get(slug="books").name == "Books and reading"
    assert Category.objects.filter(slug="visual-arts").exists()
    assert "visual-arts is not in the list any more, and stays" in capsys.readouterr().out
    assert up() == (2, 0)


slugs = st.sampled_from(["a", "b", "c", "d"])
trees = st.dictionaries(slugs, st.tuples(st.text("xyz", min_size=1, max_size=3), slugs), max_size=4)


def written(tree: dict[str, tuple[str, str]], path: Path) -> Path:
    path.write_text(
        "".join(
            f'[{slug}]\nname = "{name}"\n[{slug}.below]\n{slug}-{below} = "{name} {below}"\n'
            for slug, (name, below) in tree.items()
        )
    )
    return path


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(trees, max_size=4))
def test_whatever_versions_came_before_the_last_one_stands(versions: list[Any], tmp_path: Path) -> None:
    goal: dict[str, Any] = {}
    for number, version in enumerate(versions):
        path = written(version, tmp_path / f"{number}.toml")
        up(path)
        goal = {each.slug: (each.name, each.parent_id, True) for each in reference.wanted(path).values()}
        assert tree() == goal
        assert not any(up(path))
    assert reference.down(print) == len(goal)
    assert tree() == {}


# --- the demonstration


def made(now: datetime = NOW) -> list[demo.Made]:
    return list(demo.up(now, print))


def events() -> int:
    return len(log.read_all(0, 10_000))


@pytest.fixture
def bob() -> User:
    return UserFactory.create(username="bob", password=leaks.remember("a-long-password"))


def test_the_demonstration_is_recorded_once_however_often_and_whenever_it_is_run() -> None:
    first = made()
    assert [each.username for each in first] == list(LISTENERS)
    assert all(each.password and each.events > 40 for each in first)
    assert events() == sum(each.events for each in first)
    for later in (NOW, NOW + timedelta(days=3), NOW + timedelta(days=100)):
        clear_caches()
        assert [(each.password, each.events) for each in made(later)] == [(None, 0)] * 4
    for each in first:
        user = User.objects.get_by_natural_key(each.username)
        assert each.password
        assert user.check_password(each.password)
        assert not user.is_staff


def test_it_shows_what_each_listener_lets_others_see() -> None:
    made()
    bring_up_to_date()
    users = {user.username: user.pk for user in demo.accounts()}
    with connections["projections"].cursor() as cursor:
        cursor.execute("SELECT user_id, count(*) FROM public.public_events GROUP BY 1")
        seen = dict(cursor.fetchall())
        of_user = "SELECT rss_source_feed FROM public.public_events WHERE user_id = %s"
        cursor.execute(of_user, [users["demo-dora"]])
        doras = {feed for (feed,) in cursor.fetchall()}
        cursor.execute("SELECT count(DISTINCT user_id) FROM users.play_statuses")
        assert cursor.fetchone() == (4,)
        cursor.execute("SELECT count(*) FROM users.dead_letters")
        assert cursor.fetchone() == (0,)
    assert set(seen) == {users["demo-ana"], users["demo-dora"], None}
    assert doras
    assert history.feed_of("bread-and-salt") not in doras


def test_interrupted_it_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sum(len(history.of(name, demo.IDS, NOW)) for name in LISTENERS)
    dispatch, left = dispatcher.dispatch, 150

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return dispatch(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(dispatcher, "dispatch", failing)
        with pytest.raises(KeyboardInterrupt):
            made()
    assert 0 < events() < whole
    clear_caches()
    made(NOW + timedelta(hours=5))
    # one event for each command, and one per listener for the default collection: the first subscription
    # makes it
    assert events() == whole + len(LISTENERS)


def test_taken_down_nothing_of_it_is_left_and_it_can_come_again(bob: User) -> None:
    bobs = history.of("demo-ana", bob.pk, NOW - timedelta(days=30))[0]
    dispatcher.dispatch(bobs, history.ORIGIN)
    first = made()
    before = {user.pk for user in demo.accounts()}
    bring_up_to_date()
    demo.down(demo.accounts(), NOW, print)
    assert list(User.objects.all()) == [bob]
    left = {event.stream for event in log.read_all(0, 10_000)}
    assert left == {log.stream_of(bob.pk), log.stream_of(INSTANCE)}
    assert demo.accounts() == []
    again = made()
    assert [each.events for each in again] == [each.events for each in first]
    assert before.isdisjoint({user.pk for user in demo.accounts()})


def test_an_id_that_only_the_ledger_knows_to_be_erased_is_not_used_again() -> None:
    """The tombstones go with the log, and a restore would erase every account in the ledger again."""
    gone = next(demo._ids("demo-ana"))
    ledger.record({digest_of(gone)})
    list(demo.up(NOW, print))
    assert gone not in {user.pk for user in demo.accounts()}
    assert len(demo.accounts()) == 4
    assert erasures.reapply(erasures.known()) == 0


def test_an_interrupted_erasure_is_finished_before_the_demonstration_comes_again() -> None:
    made()
    ana = User.objects.get_by_natural_key("demo-ana")
    erasure.begin(ana.pk, NOW)
    rows.erase_history(ana.pk)
    clear_caches()
    with pytest.raises(demo.NameTaken, match="seed_down --demo"):
        made()
    assert ana in demo.accounts()
    demo.down(demo.accounts(), NOW, print)
    assert len(made()) == 4


def test_the_account_of_somebody_who_is_called_so_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ana = UserFactory.create(username="Demo-Ana", password=leaks.remember("a-long-password"))
    monkeypatch.setattr("sys.stdin", io.StringIO("DEMO\n"))
    with pytest.raises(CommandError, match="not of the demonstration: nothing was made"):
        call_command("seed_up", demo=True)
    assert list(User.objects.all()) == [ana]
    call_command("seed_down", demo=True)
    assert list(User.objects.all()) == [ana]


def test_beside_listeners_the_demonstration_comes_only_when_that_is_meant(
    bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(CommandError, match="Nothing was touched"):
        call_command("seed_up", demo=True)
    assert list(User.objects.all()) == [bob]


def test_an_operator_brings_it_up_and_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("seed_up", demo=True)
    output = capsys.readouterr().out
    assert len(set(re.findall(r"demo-\w+: password (\S+), \d\d+ events", output))) == 4
    recorded = events()
    clear_caches()
    call_command("seed_up", demo=True)
    assert "password" not in capsys.readouterr().out
    assert events() == recorded
    monkeypatch.setattr("sys.stdin", io.StringIO("delete\nDELETE\n"))
    with pytest.raises(CommandError, match="was not what was typed"):
        call_command("seed_down", demo=True)
    assert "demo-ana, demo-ben, demo-chen, demo-dora" in capsys.readouterr().out
    assert User.objects.count() == 4
    call_command("seed_down", demo=True)
    assert User.objects.count() == 0
    assert Category.objects.count() == 110
