"""Starts PostgreSQL and Redis for the tests, before Django's settings are read.

Loaded by ``-p tests.servers`` (pyproject.toml). ``TEST_STORES=three`` puts the three stores into three
databases. Servers named by TEST_DATABASE_URL / TEST_REDIS_URL are used instead where given.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

THREE = os.environ.get("TEST_STORES") == "three"


def _start() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the controller started them
    home = Path(tempfile.mkdtemp(prefix="balados-test-"))
    home.chmod(0o755)
    os.environ["BALADOS_HOME"] = str(home)
    from balados import embedded

    os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or embedded.start_postgres(home, "test_balados")
    redis = None
    if "TEST_REDIS_URL" in os.environ:
        os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
    else:
        os.environ["REDIS_URL"], redis = embedded.start_redis(home)

    def stop() -> None:
        if redis is not None:
            redis.kill()
        embedded.stop_postgres(home, "immediate")
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)


_start()

worker = os.environ.get("PYTEST_XDIST_WORKER", "")
base = os.environ["DATABASE_URL"]
for variable, suffix in {"DATABASE_URL": "", "PROJECTIONS_URL": "_projections", "EVENT_STORE_URL": "_events"}.items():
    name = "test_balados" + worker + (suffix if THREE else "")
    os.environ[variable] = base.replace("/test_balados", f"/{name}", 1)
os.environ.update({"SECRET_KEY": "only-for-tests-" + "x" * 40, "DEBUG": "0", "PUBLIC_URL": "http://localhost:8000"})
