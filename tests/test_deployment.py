"""The files that no test can run here are compared with what they describe."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile

from balados import embedded

ROOT = Path(__file__).resolve().parent.parent
PROCFILE: dict[str, str] = parse_procfile((ROOT / "Procfile").read_text()).processes
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
READ_BY_SETTINGS = set(
    re.findall(r' = _\w+\(\s*"([A-Z_]+)"', (ROOT / "balados" / "environment.py").read_text())
)


def text(name: str) -> str:
    return (ROOT / name).read_text()


def test_compose_has_the_servers_the_migration_and_every_program_of_the_procfile() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", *PROCFILE}


@pytest.mark.parametrize("name", PROCFILE)
def test_compose_runs_the_command_of_the_procfile(name: str) -> None:
    assert SERVICES[name]["command"] == PROCFILE[name]


def test_the_image_serves_the_web_by_default() -> None:
    command = re.search(r'^CMD \["(.+)"\]$', text("Dockerfile"), re.MULTILINE)
    assert command
    assert " ".join(command[1].split('", "')) == PROCFILE["web"]


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", text("Dockerfile"), re.MULTILINE)
    assert users == ["balados"]


@pytest.mark.parametrize("name", ["migrate", *PROCFILE])
def test_every_container_is_told_only_what_the_settings_read(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert set(environment) <= READ_BY_SETTINGS
    assert {"SECRET_KEY", "PUBLIC_URL", "DATABASE_URL", "REDIS_URL"} <= set(environment)


@pytest.mark.parametrize("name", PROCFILE)
def test_no_program_starts_before_the_stores_are_migrated(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_the_servers_are_recent_and_keep_their_data() -> None:
    for name, oldest in {"postgres": 17, "redis": 7}.items():
        image, _, version = SERVICES[name]["image"].partition(":")
        assert image == name
        assert int(version) >= oldest
        volume = SERVICES[name]["volumes"][0].partition(":")[0]
        assert volume in COMPOSE["volumes"]
        assert "healthcheck" in SERVICES[name]
        assert "ports" not in SERVICES[name]


def test_the_database_is_set_alike_wherever_it_runs_and_writes_no_rows_into_its_log() -> None:
    words = SERVICES["postgres"]["command"].split()
    assert words[0] == "postgres"
    assert dict(word.split("=") for word in words if "=" in word) == embedded.SETTINGS
    assert embedded.DISCREET.items() <= embedded.SETTINGS.items()


def test_no_secret_is_written_into_the_files() -> None:
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        values = re.findall(rf"^\s*{name}: (.+)$", text("docker-compose.yml"), re.MULTILINE)
        assert values
        assert all(value == f"${{{name}:?see .env.example}}" for value in values)
        assert f"\n{name}=\n" in text(".env.example")


def test_the_example_names_exactly_what_compose_asks_for() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text("docker-compose.yml")))
    offered = set(re.findall(r"^(\w+)=", text(".env.example"), re.MULTILINE))
    assert offered == asked


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` \|", text("docs/settings.md"), re.MULTILINE)
    assert sorted(documented) == sorted(READ_BY_SETTINGS)
