import sys
from collections.abc import Iterator
from io import StringIO
from os import environ
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker
from pytest_django.fixtures import Settings

from tests import embedding, template
from tests.operations.living import stores_at
from tests.operations.operating import ROOT, Operator, drop, urls_on

TOPOLOGIES = ("one", "three")


@pytest.fixture(params=TOPOLOGIES)
def topology(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def nothing_yet(topology: str, tmp_path: Path) -> Iterator[Operator]:
    """An operator whose databases (one, or three) do not exist yet."""
    urls = urls_on(environ["DATABASE_URL"], _name(), three=topology == "three")
    yield Operator(urls, tmp_path)
    drop(urls)


@pytest.fixture(scope="session")
def templates(django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, dict[str, str]]]:
    """Map each topology to URLs of ready stores to copy: made once, or part of a copied cluster."""
    ours = "TEST_CLUSTER" not in environ
    names = {each: _name() for each in TOPOLOGIES} if ours else template.READY
    made = {each: urls_on(environ["DATABASE_URL"], names[each], three=each == "three") for each in TOPOLOGIES}
    if ours:
        with django_db_blocker.unblock():
            for urls in made.values():
                with stores_at(urls):
                    call_command("db_init", verbosity=0, stdout=StringIO())
    yield made
    if ours:
        for urls in made.values():
            drop(urls)


@pytest.fixture
def operator(nothing_yet: Operator, topology: str, templates: dict[str, dict[str, str]]) -> Operator:
    """An operator whose stores are ready and empty."""
    copies = {nothing_yet.urls[alias]: url for alias, url in templates[topology].items()}
    for url, source in copies.items():
        template.copy(*(str(psycopg.conninfo.conninfo_to_dict(each)["dbname"]) for each in (source, url)))
    return nothing_yet


@pytest.fixture(scope="session")
def other_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A URL on a PostgreSQL server of its own."""
    home = tmp_path_factory.mktemp("other")
    yield embedding.start_postgres(home)
    embedding.stop_postgres(home, "immediate")


@pytest.fixture
def other_server(other_postgres: str) -> str:
    """The URL of a database that does not exist yet, on a PostgreSQL server of its own."""
    return urls_on(other_postgres, _name(), three=False)["system"]


@pytest.fixture
def scratch_migrations(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the ``feeds`` migrations, in a directory where a test may add some."""
    package = tmp_path / "scratch_migrations"
    package.mkdir()
    for file in (ROOT / "feeds" / "migrations").glob("*.py"):
        (package / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"feeds": package.name}
    yield package
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def _name() -> str:
    return f"balados_{uuid4().hex[:8]}"
