"""Programs that are forks of one process: how they start, what they print, and how they end."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from balados.forks import Forked, Loader
from balados.preloaded import MODULES
from tests.launch.test_supervisor import gone

ROOT = Path(__file__).resolve().parents[2]
# like the start of balados/preloaded.py, without the two seconds of loading
FORKING = """
import socket, sys
from balados.preloaded import ForkServer, run
run(ForkServer(socket.socket(fileno=int(sys.argv[1]))).next_program())
"""


class Forking:
    def __init__(self) -> None:
        self.loader = Loader()
        self.process = self.loader.start(self._popen)

    @staticmethod
    def _popen(command: Sequence[str], inherited: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", FORKING, command[-1]], cwd=ROOT, pass_fds=[inherited])

    def end(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self.loader.close()

    def run(self, place: Path, code: str) -> Forked:
        """Run a script with that code."""
        script = place / f"script-{len(code)}.py"
        script.write_text(code)
        return self.loader.fork(["python", str(script), "one", "two"])


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    started = Forking()
    yield started
    started.end()


def test_a_fork_becomes_the_program_with_its_arguments_in_a_session_of_its_own(
    forking: Forking, tmp_path: Path
) -> None:
    code = (
        "import json, os, sys; print(json.dumps([sys.argv[1:], os.getsid(0) == os.getpid(),"
        "open('/proc/self/cmdline').read(), __name__]), file=sys.stderr)"
    )
    program = forking.run(tmp_path, code)
    assert program.wait() == 0
    with program.stdout as output:
        arguments, leads, title, name = json.load(output)
    assert (arguments, leads, name) == (["one", "two"], True, "__main__")
    assert title.startswith(f"python {tmp_path}/script-{len(code)}.py one two")


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_its_exit_code_is_told(forking: Forking, tmp_path: Path, code: str, ending: int) -> None:
    program = forking.run(tmp_path, code)
    with program.stdout as output:
        text = output.read().decode()
    assert program.wait() == ending
    assert ("ValueError" in text) == (ending == 1)
    program.send_signal(signal.SIGTERM)  # it has ended: no other process gets the signal


def test_it_holds_nothing_of_its_parents_open(forking: Forking, tmp_path: Path) -> None:
    sleeping = forking.run(tmp_path, "import time; time.sleep(60)")
    program = forking.run(tmp_path, "import os; print(*os.listdir('/proc/self/fd'))")
    with program.stdout as output:
        opened = {int(number) for number in output.read().split()}
    # the listing itself opens one more; another may be a pipe of the test run
    assert len(opened - {0, 1, 2}) <= 2
    sleeping.send_signal(signal.SIGTERM)
    assert (sleeping.wait(), program.wait()) == (-signal.SIGTERM, 0)
    sleeping.stdout.close()


def test_forks_end_with_what_they_are_forks_of_and_others_come_from_the_next_one(tmp_path: Path) -> None:
    forking = Forking()
    program = forking.run(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    assert program.stdout.readline() == b"up\n"
    forking.process.kill()
    forking.process.wait()
    program.wait()
    assert gone(program.pid)
    program.stdout.close()
    with pytest.raises(ConnectionError):
        forking.run(tmp_path, "")
    forking.process = forking.loader.start(forking._popen)
    again = forking.run(tmp_path, "print('up')")
    assert (again.stdout.readline(), again.wait()) == (b"up\n", 0)
    again.stdout.close()
    forking.end()


def test_no_program_is_loaded_before_it_runs() -> None:
    """Python warns about a program that has been imported already."""
    commands = [line.split() for line in (ROOT / "Procfile").read_text().splitlines()]
    programs = {command[command.index("-m") + 1] for command in commands if "-m" in command}
    assert "balados.serve" in programs
    assert not programs.intersection(MODULES)


def test_what_is_forked_has_everything_loaded_one_thread_and_no_connection() -> None:
    code = (
        "import os, sys; from balados import preloaded; preloaded.load();"
        "from django.db import connections;"
        "opened = [os.readlink(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd')[:-1]];"
        "print(len(os.listdir('/proc/self/task')), [each.connection for each in connections.all()],"
        " [name for name in opened if 'socket' in name], {'jobs.tasks', 'web.player'} <= {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "1 [None, None, None, None] [] True\n", done.stdout + done.stderr
