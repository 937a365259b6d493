"""Starts PostgreSQL and Redis for the tests, before Django's settings are read.

It is loaded by ``-p tests.servers`` (pyproject.toml). The three stores are in three databases, or in one with
``TEST_STORES=one``. It also reads these environment variables:

- TEST_DATABASE_URL, TEST_REDIS_URL: servers to use instead; the database must be called ``test_balados``.
- TEST_CLUSTER: a PostgreSQL data directory with migrated stores, of which a copy is used (tests/template.py).
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.memory import fast_directory

ONE = os.environ.get("TEST_STORES") == "one"
SUFFIXES = {"DATABASE_URL": "", "PROJECTIONS_URL": "_projections", "EVENT_STORE_URL": "_events"}


def start() -> None:
    """Start the servers for which no URL was given. They end with this process, also after Ctrl-C or
    SIGTERM."""
    home = Path(tempfile.mkdtemp(prefix="balados-", dir=fast_directory()))
    os.environ["BALADOS_HOME"] = str(home)
    # tmp_path is below it as well: another run of pytest would close /tmp/pytest-of-root to PostgreSQL's user
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(home)
    # by default, SIGTERM ends Python without running atexit; after kill -9 the kernel ends both servers
    # (embedding.py)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    from tests import embedding

    if "TEST_DATABASE_URL" in os.environ:
        os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
    else:
        if cluster := os.environ.get("TEST_CLUSTER"):
            subprocess.run(["cp", "--archive", cluster, home / "postgres"], check=True)
        os.environ["DATABASE_URL"] = embedding.start_postgres(home, "test_balados")
        atexit.register(embedding.stop_postgres, home, "immediate")
    if "TEST_REDIS_URL" in os.environ:
        os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
    else:
        os.environ["REDIS_URL"], redis = embedding.start_redis(home)
        atexit.register(redis.wait)
        atexit.register(redis.kill)


start()
base = os.environ["DATABASE_URL"]
for variable, suffix in SUFFIXES.items():
    os.environ[variable] = base.replace("/test_balados", "/test_balados" + ("" if ONE else suffix), 1)
os.environ.update(
    {
        "SECRET_KEY": "only-for-tests-" + "x" * 40,
        "DEBUG": "0",
        # tests that have a live process switch it on
        "LIVE": "off",
        "PUBLIC_URL": "http://localhost:8000",
        # Django's test runner collects the mails; none is printed or sent
        "EMAIL_URL": "console:",
    }
)
