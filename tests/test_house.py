"""Rules for the project as a whole; ``make check`` runs these tests beside the linters."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent


def templates() -> list[Path]:
    return sorted((ROOT / "templates").rglob("*.html"))


@pytest.mark.usefixtures("stores")
def test_no_model_is_without_its_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=1)


@pytest.mark.parametrize("template", templates(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_static_file_that_a_template_names_exists(template: Path) -> None:
    named = re.findall(r"""{%\s*static\s+["']([^"']+)""", template.read_text())
    assert [name for name in named if finders.find(name) is None] == []


def test_django_has_nothing_to_say_about_a_deployment_behind_https() -> None:
    environment = {**os.environ, "PUBLIC_URL": "https://balados.example", "TRUSTED_PROXIES": "1"}
    environment["SECRET_KEY"] = "".join(chr(ord("A") + number) for number in range(26)) * 2
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    check = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_every_app_of_ours_is_installed_measured_and_held_to_the_import_contracts() -> None:
    ours = {config.name for config in apps.get_app_configs() if Path(config.path).parent == ROOT}
    project = (ROOT / "pyproject.toml").read_text()
    for setting in ("source", "root_packages"):
        listed = re.search(rf"^{setting} = \[(.+)\]$", project, re.MULTILINE)
        assert listed
        assert set(re.findall(r'"(\w+)"', listed[1])) == ours


def test_the_readme_fits_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 40


def test_every_test_that_the_table_of_threats_names_is_there() -> None:
    rows = re.findall(
        r"^\| [A-Z]+-\d+ \|.*\| (.+) \|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 50
    for cell in "; ".join(rows).split("; "):
        file, *names = re.findall(r"`([^`]+)`", cell)
        text = (ROOT / file).read_text()
        assert [name for name in names if f"def {name}(" not in text] == []
