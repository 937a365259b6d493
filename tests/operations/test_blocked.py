"""Django's own commands that know nothing of three stores: refused to people, there for test runners."""

import pytest
from django.core.management import call_command, execute_from_command_line
from django.core.management.base import CommandError

BLOCKED = {"migrate": "db_migrate", "flush": "db_reset", "sqlflush": "db_reset", "reset_db": "db_reset"}


@pytest.mark.parametrize("command", BLOCKED)
@pytest.mark.parametrize("more", [(), ("--database", "system", "--noinput"), ("--help",)])
def test_a_blocked_command_says_what_to_use_instead(
    command: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", command, *more])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"Use manage.py {BLOCKED[command]}" in said.err


@pytest.mark.parametrize("command", BLOCKED)
def test_its_help_says_the_same(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute_from_command_line(["manage.py", "help", command])
    assert f"Use manage.py {BLOCKED[command]}" in capsys.readouterr().out


@pytest.mark.usefixtures("stores")
def test_what_django_calls_from_within_goes_on_working() -> None:
    call_command("migrate", database="system", plan=True, verbosity=0)
    assert "TRUNCATE" in call_command("sqlflush", database="system")
    with pytest.raises(CommandError, match="db_reset"):
        call_command("reset_db")
