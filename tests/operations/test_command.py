"""An operator's error ends in one line that says what to do; an error of ours keeps its traceback."""

import errno
import io
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from psycopg import errors

from accounts.models import User
from balados import commandline, databases
from operations import migrations, status
from operations.command import INTERRUPTED, OperatorCommand, explain
from operations.confirmation import NotConfirmed, confirm
from projections.runner import Runner

ROOT = Path(__file__).resolve().parents[2]


class Failing(OperatorCommand):
    failure: BaseException

    def handle(self, *args: object, **options: object) -> None:
        raise self.failure


def ended(failure: BaseException) -> CommandError:
    command = Failing()
    command.failure = failure
    with pytest.raises(CommandError) as raised:
        command.execute(no_color=True, force_color=False, verbosity=1, skip_checks=True)
    return raised.value


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_kind_of_trouble_comes_with_what_to_do() -> None:
    assert "db_create" in str(ended(errors.InvalidCatalogName('database "x" does not exist')))
    assert "db_init" in str(ended(errors.UndefinedTable("no such table")))
    assert "grant" in str(ended(errors.InsufficientPrivilege("permission denied")))
    assert "disk is full" in str(ended(errors.DiskFull("could not extend file")))
    assert "disk is full" in str(ended(OSError(errno.ENOSPC, "No space left on device", "/backups/x")))


def test_new_code_on_older_tables_and_a_log_that_is_full_are_no_tracebacks() -> None:
    assert "db_migrate" in str(ended(errors.UndefinedColumn('column "x" does not exist')))
    # PostgreSQL raises this if no partition takes a row; a violated constraint would be named
    assert "next_partition.sql" in str(ended(errors.CheckViolation('no partition of relation "events"')))


def test_a_projector_without_the_right_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: object, **options: object) -> None:
        raise errors.InsufficientPrivilege("permission denied")

    monkeypatch.setattr(Runner, "run", run)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    with pytest.raises(CommandError, match="grant the right"):
        call_command("run_projectors")


@pytest.mark.parametrize("chunk", ["0", "-1", "many"])
def test_a_chunk_of_nothing_is_a_wrong_option(chunk: str) -> None:
    with pytest.raises(CommandError, match="--chunk: "):
        call_command("run_worker_once", f"--chunk={chunk}")


@pytest.mark.parametrize(
    "url", ["mysql://u:geheim@h/x", "postgresql://u:geheim@h:port/x", "geheim", "postgresql://u@h"]
)
def test_a_database_url_that_is_none_is_refused_without_the_url(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="is not of the form postgresql://") as refused:
        databases.store("system", url, pool={})
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "url", "words"),
    [
        ("REDIS_URL", "geheim:6379/0", "REDIS_URL must be of the form redis://"),
        ("DATABASE_URL", "mysql://u:geheim@h/x", "DATABASE_URL must be of the form postgresql://"),
        ("DATABASE_URL", "postgresql://someone:geheim@127.0.0.1:1/balados", "Is the server running"),
    ],
)
def test_a_url_that_leads_nowhere_is_a_line_without_the_url_before_anything_is_done(
    setting: str, url: str, words: str
) -> None:
    done = manage("db_create", **{setting: url})
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "geheim" not in done.stdout + done.stderr


def test_only_the_first_line_of_a_server_is_said_since_the_others_may_hold_a_row() -> None:
    assert "alice" not in str(ended(errors.DiskFull("disk full\nDETAIL: alice")))


def test_ctrl_c_is_no_traceback_and_has_the_exit_code_of_a_shell() -> None:
    assert ended(KeyboardInterrupt()).returncode == INTERRUPTED


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    "command",
    [["db_reset", "--projections"], ["erase_user", "alice"], ["db_migrate", "--to", "projections", "zero"]],
    ids=" ".join,
)
def test_ctrl_c_at_a_question_says_that_nothing_was_touched(
    command: list[str], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    with pytest.raises(CommandError, match=r"^Nothing was touched\.$") as ended:
        call_command(*command)
    assert ended.value.returncode == INTERRUPTED


@pytest.mark.usefixtures("stores")
def test_ctrl_c_while_something_is_done_or_only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "report", interrupt)
    with pytest.raises(CommandError, match="Nothing was touched"):
        call_command("store_status")
    monkeypatch.setattr(migrations, "migrate", interrupt)
    with pytest.raises(CommandError, match="Interrupted"):
        call_command("db_migrate")


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    for command in ("help", "store_status"):
        reader, writer = os.pipe()
        os.close(reader)
        ours = [sys.executable, "manage.py", command]
        done = subprocess.run(ours, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
        os.close(writer)
        assert done.returncode == 128 + signal.SIGPIPE
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr


def test_what_is_our_own_fault_is_not_hidden() -> None:
    assert explain(ZeroDivisionError()) is None
    command = Failing()
    command.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        command.execute(no_color=True, force_color=False, verbosity=1, skip_checks=True)


@pytest.mark.parametrize("typed", ["", "DELETE ", " DELETE", "delete", "DELETE ALL EVENTS", "yes\nDELETE\n"])
def test_anything_but_the_exact_phrase_is_refused(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    with pytest.raises(NotConfirmed, match="Nothing was touched"):
        confirm("DELETE")


def test_the_exact_phrase_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("DELETE\n"))
    confirm("DELETE")
    assert "Type 'DELETE' to confirm: " in capsys.readouterr().out


def test_ctrl_c_while_a_command_is_being_loaded_or_in_one_of_djangos_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def output() -> str:
        monkeypatch.setattr(commandline, "begun", [])
        monkeypatch.setattr(sys, "argv", ["manage.py", "check"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "manage.py"), run_name="__main__")
        assert ended.value.code == INTERRUPTED
        return capsys.readouterr().err

    monkeypatch.setattr("django.core.management.commands.check.Command.handle", interrupt)
    assert output() == "Interrupted.\n"
    monkeypatch.setattr(commandline.Utility, "fetch_command", interrupt)
    assert output() == "Nothing was touched.\n"
