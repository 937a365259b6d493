"""Django's own commands, which do not know of the three stores: they are refused to people but available to
test runners, or they ask which store is meant."""

import subprocess
import sys

import pytest
from django.core.mail import EmailMessage
from django.core.management import call_command, execute_from_command_line
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from accounts.models import User
from balados import environment
from balados.commandline import Utility

BLOCKED = {
    "migrate": "manage.py db_migrate",
    "flush": "manage.py db_reset",
    "sqlflush": "manage.py db_reset",
    "reset_db": "manage.py db_reset",
    "test": "make test",
}


@pytest.mark.parametrize("command", BLOCKED)
@pytest.mark.parametrize("more", [(), ("--database", "system", "--noinput"), ("--help",)])
def test_a_blocked_command_says_what_to_use_instead(
    command: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", command, *more])
    assert ended.value.code == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert f"Use {BLOCKED[command]}" in output.err


@pytest.mark.parametrize("command", BLOCKED)
def test_its_help_says_the_same(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute_from_command_line(["manage.py", "help", command])
    assert f"Use {BLOCKED[command]}" in capsys.readouterr().out


@pytest.mark.usefixtures("stores")
def test_what_django_calls_from_within_goes_on_working() -> None:
    call_command("migrate", database="system", plan=True, verbosity=0)
    assert "TRUNCATE" in call_command("sqlflush", database="system")
    with pytest.raises(CommandError, match="db_reset"):
        call_command("reset_db")


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    "command",
    [
        ["dbshell"],
        ["showmigrations"],
        ["loaddata", "x"],
        ["dumpdata", "accounts"],
        ["inspectdb"],
        ["sqlmigrate", "accounts", "0001"],
        ["sqlsequencereset", "accounts"],
        ["createcachetable"],
        ["remove_stale_contenttypes"],
    ],
    ids=" ".join,
)
def test_a_command_that_means_one_store_asks_for_its_name(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Utility(["manage.py", *command]).execute()
    assert ended.value.code == 2
    assert "required: --database" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        Utility(["manage.py", *command, "--database", "default"]).execute()
    assert "(choose from 'system', 'projections', 'events')" in capsys.readouterr().err


def test_a_command_that_knows_no_store_but_the_default_says_so_in_a_line() -> None:
    command = [sys.executable, "manage.py", "squashmigrations", "accounts", "0001", "--no-input"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr == f"balados: {environment.NO_DEFAULT}\n"


@pytest.mark.usefixtures("stores")
def test_a_command_for_accounts_means_the_store_of_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-long-password")
    named = ["--username", "alice", "--email", "alice@example.org", "--noinput"]
    Utility(["manage.py", "createsuperuser", *named]).execute()
    monkeypatch.setattr("getpass.getpass", lambda prompt: "another-long-password")
    Utility(["manage.py", "changepassword", "alice"]).execute()
    assert User.objects.get().check_password("another-long-password")
    with pytest.raises(SystemExit):
        Utility(["manage.py", "createsuperuser", *named, "--database", "events"]).execute()


def test_a_test_mail_is_reported_as_sent_only_if_it_was(
    settings: Settings, mailoutbox: list[EmailMessage], capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SENDS_MAIL = False
    with pytest.raises(CommandError, match="EMAIL_URL names no mail server"):
        call_command("sendtestemail", "alice@example.org")
    settings.SENDS_MAIL = True
    call_command("sendtestemail", "alice@example.org")
    assert len(mailoutbox) == 1
    assert capsys.readouterr().out == "The mail was sent.\n"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    with pytest.raises(CommandError, match=r"not sent: .*refused"):
        call_command("sendtestemail", "alice@example.org")
