"""Starts PostgreSQL and Redis for the tests, before Django's settings are read.

Loaded by ``-p tests.servers`` (pyproject.toml). ``TEST_STORES=three`` puts the three stores into three
databases. Servers named by TEST_DATABASE_URL / TEST_REDIS_URL are used instead where given; the database
must be called ``test_balados``.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

THREE = os.environ.get("TEST_STORES") == "three"
SUFFIXES = {"DATABASE_URL": "", "PROJECTIONS_URL": "_projections", "EVENT_STORE_URL": "_events"}


def _start() -> None:
    """Start what no URL was given for; it ends with this process, also after Ctrl-C or SIGTERM."""
    home = Path(tempfile.mkdtemp(prefix="balados-"))
    os.environ["BALADOS_HOME"] = str(home)
    # tmp_path below it, too: another run of pytest closes the common /tmp/pytest-of-root to PostgreSQL's user
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(home)
    # atexit does not run on SIGTERM's default action; after kill -9 the kernel ends both (embedded.py)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    from balados import embedded

    if "TEST_DATABASE_URL" in os.environ:
        os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
    else:
        os.environ["DATABASE_URL"] = embedded.start_postgres(home, "test_balados")
        atexit.register(embedded.stop_postgres, home, "immediate")
    if "TEST_REDIS_URL" in os.environ:
        os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
    else:
        os.environ["REDIS_URL"], redis = embedded.start_redis(home)
        atexit.register(redis.wait)
        atexit.register(redis.kill)


worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if not worker:
    _start()  # under pytest-xdist in the controller alone
else:
    os.environ["REDIS_URL"] += f"?db={int(worker.removeprefix('gw')) + 1}"

base = os.environ["DATABASE_URL"]
for variable, suffix in SUFFIXES.items():
    name = "test_balados" + worker + (suffix if THREE else "")
    os.environ[variable] = base.replace("/test_balados", f"/{name}", 1)
os.environ.update(
    {"SECRET_KEY": "only-for-tests-" + "x" * 40, "DEBUG": "0", "PUBLIC_URL": "http://localhost:8000"}
)
