import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from balados import home
from balados.home import Refused


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    home.make(tmp_path / "deep" / "home")
    assert stat.S_IMODE((tmp_path / "deep" / "home").stat().st_mode) == 0o700


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot be created"):
        home.make(tmp_path / "file" / "home")


def test_somebody_elses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(Refused, match="belongs to"):
        home.make(tmp_path)
    nobody = 54_321  # a number without a name, as in a container
    monkeypatch.setattr(Path, "stat", lambda path: os.stat_result((0o40700, 0, 0, 1, nobody, 0, 0, 0, 0, 0)))
    with pytest.raises(Refused, match=f"belongs to user {nobody}: "):
        home.make(tmp_path)


def test_one_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # as on a read-only file system
    with pytest.raises(Refused, match="cannot be written to"):
        home.make(tmp_path)


def test_what_it_remembers_is_what_the_last_run_left(tmp_path: Path) -> None:
    chosen = {"SECRET_KEY": "a=b", "DATABASE_URL": "postgresql:///one?host=/x"}
    home.remember(tmp_path, {"REDIS_URL": "unix:///x"})
    home.remember(tmp_path, chosen)
    assert home.variables(tmp_path) == chosen


def test_what_it_remembers_is_readable_to_its_owner_alone(tmp_path: Path) -> None:
    home.remember(tmp_path, {"SECRET_KEY": "secret"})
    assert stat.S_IMODE((tmp_path / "environment").stat().st_mode) == 0o600


def test_a_second_run_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    with (
        home.locked(tmp_path),
        pytest.raises(Refused, match=f"already running on .* \\(process {os.getpid()}\\)"),
        home.locked(tmp_path),
    ):
        pass


def test_the_next_run_waits_until_the_programs_of_a_killed_one_have_ended(tmp_path: Path) -> None:
    # a program that outlives its supervisor by half a second
    code = "import os, sys, time; os.fork() and os._exit(0); sys.stdout.close(); os.close(1); time.sleep(0.5)"
    with home.locked(tmp_path) as inherited:
        subprocess.run([sys.executable, "-c", code], pass_fds=[inherited], check=True)
    with home.locked(tmp_path):
        pass


def test_programs_that_do_not_end_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "SECONDS_TO_END", 0.1)
    with home.locked(tmp_path) as inherited:
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=[inherited])
    try:
        with pytest.raises(Refused, match=r"still hold .*programs\.lock"), home.locked(tmp_path):
            pass
    finally:
        orphan.kill()
        orphan.wait()
