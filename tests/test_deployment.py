"""Compares deployment files, which cannot be run in tests, with what they describe."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from honcho.environ import parse_procfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from balados import embedded

ROOT = Path(__file__).resolve().parent.parent
PROCFILE: dict[str, str] = parse_procfile((ROOT / "Procfile").read_text()).processes
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
WORKERS = ("worker", "feeds", "feeds_now", "covers")
READ_BY_SETTINGS = set(
    re.findall(r' = _\w+\(\s*"([A-Z_]+)"', (ROOT / "balados" / "environment.py").read_text())
)


def text(name: str) -> str:
    return (ROOT / name).read_text()


def test_compose_has_the_servers_the_migration_and_every_program_of_the_procfile() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", "backup", *PROCFILE, *WORKERS}


@pytest.mark.parametrize("name", PROCFILE.keys() - {"worker"})
def test_compose_runs_the_command_of_the_procfile(name: str) -> None:
    assert SERVICES[name]["command"] == PROCFILE[name]


def test_compose_gives_each_queue_of_the_one_worker_a_worker() -> None:
    form = re.compile(r"--concurrency \d+ --queues (\S+)")
    (in_one,) = form.findall(PROCFILE["worker"])
    commands = [SERVICES[name]["command"] for name in WORKERS]
    apart = ",".join(queues for each in commands for queues in form.findall(each))
    assert sorted(in_one.split(",")) == sorted(apart.split(","))
    scheduling = [command for command in commands if " --with-scheduler" in command]
    assert scheduling == commands[:1]
    without = [form.sub("", command.replace(" --with-scheduler", "")) for command in commands]
    assert {*without} == {form.sub("", PROCFILE["worker"].replace(" --with-scheduler", ""))}
    routes = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert routes <= {*in_one.split(",")} - {"default"}


def test_the_image_serves_the_web_by_default() -> None:
    command = re.search(r'^CMD \["(.+)"\]$', text("Dockerfile"), re.MULTILINE)
    assert command
    assert " ".join(command[1].split('", "')) == PROCFILE["web"]


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", text("Dockerfile"), re.MULTILINE)
    assert users == ["balados"]


@pytest.mark.parametrize("name", ["migrate", "backup", *PROCFILE])
def test_every_container_is_told_every_setting(name: str) -> None:
    of_the_image = {variable for variable in READ_BY_SETTINGS if f"    {variable}=" in text("Dockerfile")}
    assert of_the_image == {"BALADOS_HOME", "LISTEN_HOST", "PORT", "LIVE_PORT"}
    of_make_run = {"STORES_MOVED"}
    assert set(SERVICES[name]["environment"]) == READ_BY_SETTINGS - of_the_image - of_make_run


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


def test_every_container_is_watched_and_no_log_grows_without_end() -> None:
    once = {"migrate", "backup"}
    for name, service in SERVICES.items():
        assert service["logging"]["options"]["max-size"]
        assert ("healthcheck" in service) == (name not in once)
        assert service["restart"] == ("no" if name in once else "unless-stopped")


def test_backups_are_made_in_the_container_and_outlive_it() -> None:
    assert "--to /backups" in SERVICES["backup"]["command"]
    assert "backups:/backups" in SERVICES["backup"]["volumes"]
    assert "backups" in COMPOSE["volumes"]


def test_the_lock_file_holds_what_is_asked_for() -> None:
    lines = [line for line in text("requirements.lock").splitlines() if not line.startswith("#")]
    locked = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    project = tomllib.loads(text("pyproject.toml"))["project"]
    for wanted in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["run"]]):
        assert locked[canonicalize_name(wanted.name)] in wanted.specifier


def test_the_steps_of_the_image_lead_to_programs_that_start(tmp_path: Path) -> None:
    """The steps are carried out as far as possible without a container engine: in an empty directory, with a
    virtual environment of its own."""
    app, packages = tmp_path / "app", tmp_path / "packages"
    app.mkdir()
    environment = {
        "PATH": f"{packages}/bin:{os.environ['PATH']}",
        "PIP_NO_COMPILE": "1",
        "HOME": str(tmp_path),
    }
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    instructions = text("Dockerfile").replace("\\\n", "")
    for step in re.findall(r"^(?:RUN|COPY) .+$", instructions, re.MULTILINE):
        match step.split():
            case ["COPY", ".", "."]:
                tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
                names = [name for name in tracked.stdout.split(b"\0") if (ROOT / name.decode()).is_file()]
                copy = [b"cp", b"--parents", b"--target-directory", os.fsencode(app), *names]
                subprocess.run(copy, cwd=ROOT, check=True)
            case ["COPY", name, "."]:
                shutil.copy(ROOT / name, app)
            case ["RUN", "useradd", *_]:
                pass  # needs root
            case ["RUN", *words]:
                command = " ".join(words).replace("/opt/balados", str(packages)).replace("--no-cache-dir", "")
                command = command.replace("python -m venv", f"{sys.executable} -m venv")
                carry_out(command, app, environment)
    environment |= {"BALADOS_HOME": str(tmp_path / "data"), "PORT": "none"}
    for line in PROCFILE.values():
        started = subprocess.run(line.split(), cwd=app, env=environment, capture_output=True, text=True)
        assert "PORT must be a number from 1 to 65535, not 'none'" in started.stderr
    find = f"{packages}/bin/python -c 'from operations import dump; print(*dump._candidates(\"pg_dump\"))'"
    environment |= {"PORT": "", "DJANGO_SETTINGS_MODULE": "balados.settings"}
    found = subprocess.run(find, shell=True, cwd=app, env=environment, capture_output=True, text=True)
    assert found.stdout.split()[-1].endswith("/pginstall18/bin/pg_dump"), found.stderr
    assert Path(found.stdout.split()[-1]).is_file()


def carry_out(command: str, app: Path, environment: dict[str, str]) -> None:
    """Carry out a step of the image. If uv is present and succeeds, it is used, since it installs the same
    packages in a tenth of the time."""
    uv = Path(sys.executable).with_name("uv")
    quickly = command.replace("pip install", f"{uv} pip install --quiet --python $(command -v python)")
    for each in (quickly, command) if uv.exists() else (command,):
        done = subprocess.run(each, shell=True, cwd=app, env=environment, capture_output=True)
        if done.returncode == 0:
            return
    raise AssertionError(done.stdout + done.stderr)
