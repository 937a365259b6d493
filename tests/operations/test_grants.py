"""Programs with database roles of their own: each does its work, and the database refuses all else."""

from collections.abc import Iterator
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import tuple_row
from pytest_django.fixtures import Settings

from accounts import erasure
from accounts.models import User
from eventstore import log
from feeds.models import Episode
from feeds.reconcile import reconcile
from jobs import retention
from operations.grants import PROGRAMS
from projections.erasure import erase_history
from projections.projectors import PROJECTORS
from projections.runner import Runner
from tests.api.devices import Device, feed, play
from tests.apps import App
from tests.factories import UserFactory
from tests.feeds.origin import Origin, allowed, answer
from tests.feeds.pumping import follow, pump, show
from tests.jobs.working import run_projectors
from tests.operations.living import Life, life
from tests.operations.operating import Operator
from tests.projecting import bring_up_to_date
from tests.projections.running import eventually, running
from tests.web.people import Visitor
from web import readiness

__all__ = ["life"]  # a fixture

# what each program must not do: the store, and the statement that must be refused
FORBIDDEN = {
    "web": [
        ("events", "DELETE FROM events.events"),
        ("events", "SET balados.retention = 'on'; DELETE FROM events.events"),
        ("events", "SELECT events.delete_removed(1, '{1}')"),
        ("events", "DELETE FROM events.streams"),
        ("system", "UPDATE system.categories SET name = 'x'"),
    ],
    "projector": [
        ("events", "INSERT INTO events.events (stream, version, type, schema) VALUES (1, 1, 'x', 1)"),
        ("events", "SET balados.retention = 'on'; DELETE FROM events.events"),
        ("events", "SELECT events.delete_removed(1, '{1}')"),
        ("events", "SELECT events.purge_erased(1, 10)"),
        ("system", "SELECT FROM system.users"),
    ],
    "worker": [
        ("events", "DELETE FROM events.streams"),
        ("events", "SELECT events.delete_removed(1, '{1}')"),
        ("system", "INSERT INTO system.categories (slug, name) VALUES ('x', 'x')"),
    ],
}
FORBIDDEN_TO_ALL = [
    ("events", "UPDATE events.events SET type = type"),
    ("events", "TRUNCATE events.events"),
    ("events", "ALTER TABLE events.events DISABLE TRIGGER ALL"),
    ("events", "DROP TABLE events.snapshots"),
    ("events", "CREATE TABLE events.mine ()"),
    ("events", "INSERT INTO events.restores VALUES ('x', now(), 0, 1)"),
    ("system", "DROP TABLE system.users"),
    ("system", "CREATE TABLE system.mine ()"),
    ("system", "DELETE FROM system.django_migrations"),
    ("projections", "CREATE TABLE users.mine ()"),
    ("projections", "CREATE TABLE public.mine ()"),
    ("projections", "DROP TABLE users.subscriptions"),
    ("projections", "DELETE FROM users.django_migrations"),
]


@pytest.fixture
def roles(operator: Operator, life: Life) -> Iterator[dict[str, str]]:
    """A role for each program, with the privileges that it needs; maps programs to role names."""
    name = psycopg.conninfo.conninfo_to_dict(operator.urls["system"])["dbname"]
    made = {program: f"{name}_{program}" for program in PROGRAMS}
    with operator.connect("system") as server:
        for role in made.values():
            server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    with life.at(operator.urls):
        with operator.connect("events") as restored:  # pg_restore leaves them executable by all
            restored.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA events TO PUBLIC")
        granted = [f"--grant={program}={role}" for program, role in made.items()]
        call_command("db_create", *granted, stdout=StringIO())
        yield made
    for url in operator.urls.values():
        with psycopg.connect(url, autocommit=True) as connection:
            for role in made.values():
                connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
    with operator.connect("system") as server:
        for role in made.values():
            server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def urls_of(operator: Operator, role: str) -> dict[str, str]:
    return {alias: url.replace("postgres:@", f"{role}:@") for alias, url in operator.urls.items()}


def test_each_program_is_refused_what_is_not_its_work(operator: Operator, roles: dict[str, str]) -> None:
    for program, role in roles.items():
        for alias, statement in [*FORBIDDEN[program], *FORBIDDEN_TO_ALL]:
            url = urls_of(operator, role)[alias]
            with psycopg.connect(url, row_factory=tuple_row) as connection:
                with pytest.raises((InsufficientPrivilege, psycopg.errors.IntegrityConstraintViolation)):
                    connection.execute(statement)
                connection.rollback()


def brought(position: int) -> bool:
    """Bring the projectors up to date instead of waiting; return whether they reached ``position``."""
    return bring_up_to_date() >= position


def fetch_a_feed(settings: Settings) -> None:
    """Fetch a feed with so many episodes that they go through a temporary table."""
    with Origin() as origin, allowed(settings, origin):
        origin.on("/feed", answer(show(*range(60))))
        follow(origin, "/feed")
        assert pump() == 1
    assert Episode.objects.count() == 60
    assert reconcile(timezone.now()).purged == 0


def test_each_program_does_its_work(
    operator: Operator, roles: dict[str, str], life: Life, settings: Settings
) -> None:
    with life.at(urls_of(operator, roles["web"])):
        alice, bob = (UserFactory.create(username=name) for name in ("alice", "bob"))
        App().grant(alice)
        phone = Device(alice.pk)
        assert phone.post("plays", play()).status_code == 200
        head = log.head()
    with life.at(urls_of(operator, roles["projector"])), running(Runner()) as runner:
        eventually(lambda: list(runner.positions().values()) == [head] * len(PROJECTORS))
    with life.at(urls_of(operator, roles["worker"])):
        retention.run(log.database_time(), wait=brought)
    with life.at(urls_of(operator, roles["projector"])):
        run_projectors()
    with life.at(urls_of(operator, roles["worker"])):
        assert retention.run(log.database_time(), wait=brought).events_deleted > 0
        fetch_a_feed(settings)
        erasure.begin(bob.pk, timezone.now())
        erasure.complete(bob.pk, erase_history)
    with life.at(operator.urls):  # recreates the tables of the read models
        call_command("reset_projections", stdout=StringIO())
    with life.at(urls_of(operator, roles["web"])):
        assert len(phone.get("plays").json()["play_statuses"]) == 1  # type: ignore[attr-defined]
        assert readiness.checks()["projections"] == "ok"
        administrator = Visitor(UserFactory.create(username="carol", is_staff=True, is_superuser=True))
        assert administrator.get("/admin/feeds/category/").status_code == 200
        assert administrator.get("/admin/feeds/category/add/").status_code == 403
        removed = phone.post("removals", {"feed": feed()})
        assert removed.status_code == 200
        erasure.begin(alice.pk, timezone.now())
        assert erasure.complete(alice.pk, erase_history)["events"] > 0
        assert User.objects.count() == 1


@pytest.mark.parametrize("topology", ["one"], indirect=True)
def test_what_cannot_be_granted_is_refused_and_what_would_be_is_printed(
    operator: Operator, life: Life
) -> None:
    with life.at(operator.urls):
        for wrong, message in (
            ("web=nobody_here", 'CREATE ROLE "nobody_here" LOGIN'),
            ("web=postgres", "owns the system store"),
            ("beat=x", "is not PROGRAM=ROLE"),
        ):
            with pytest.raises(CommandError, match=message):
                call_command("db_create", "--grant", wrong, stdout=StringIO())
        out = StringIO()
        call_command("db_create", "--grant=worker=balados_worker", "--print", stdout=out)
    assert 'GRANT SELECT, INSERT, DELETE ON "events"."events" TO "balados_worker";' in out.getvalue()
