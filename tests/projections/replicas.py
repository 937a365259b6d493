"""A projections store on a separate server, and real streaming replicas of it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from balados import databases, embedded
from balados.home import postgres_url, sockets
from eventstore import instance
from operations import stores
from projections import replicas
from tests import embedding
from tests.projections.running import eventually

NAME = "balados_replicated"
POOL = {"min_size": 1, "max_size": 4, "timeout": 5.0}
# the settings by which a store is reached
PLACE = ("NAME", "USER", "PASSWORD", "HOST", "PORT")


class Server:
    """A PostgreSQL server; ``run`` executes statements as its operator."""

    def __init__(self, home: Path, **parameters: str) -> None:
        self.home = home
        self.parameters = parameters
        self.url = postgres_url(home, NAME)

    def start(self) -> None:
        embedding.start_postgres(self.home, NAME, **self.parameters)

    def stop(self, mode: str = "immediate") -> None:
        embedding.stop_postgres(self.home, mode)

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(cast(Any, statement)), values)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        [(value,)] = self.run(statement, *values)
        return value

    def sessions(self) -> int:
        """The number of our sessions that read from this server."""
        return int(
            self.one("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'balados-replica-_'")
        )


class Replica(Server):
    """A replica whose lag a test controls: ``held`` stops replay."""

    def __init__(self, home: Path, primary: Server, **parameters: str) -> None:
        super().__init__(home, **parameters)
        self.primary = primary

    def copy(self) -> None:
        """Make a base backup that follows the primary once it is started."""
        data, account = self.home / "postgres", embedded.system_account()
        data.mkdir(mode=0o700)
        if account:
            embedded.let_in(account, data)
            shutil.chown(data, account)
        source = str(sockets(self.primary.home))
        command = [str(embedded.POSTGRES_BIN / "pg_basebackup"), "-D", str(data), "-h", source]
        command += ["-U", "postgres", "--write-recovery-conf", "--checkpoint=fast"]
        copied = subprocess.run(command, capture_output=True, text=True, **embedded.run_as(account))
        assert copied.returncode == 0, copied.stderr

    def catch_up(self) -> None:
        """Wait until it has replayed everything that the primary has done."""
        # this commit waits until it is on the disk, and thus everything before it
        self.primary.run("SELECT pg_logical_emit_message(true, 'tests', '')")
        target = self.primary.one("SELECT pg_current_wal_flush_lsn()::text")
        eventually(lambda: bool(self.one("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", target)))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop replay until the end of the block."""
        self.catch_up()
        self.run("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.one("SELECT pg_get_wal_replay_pause_state()") == "paused")
        try:
            yield
        finally:
            # replay continues at once, and may cancel the very statement that resumed it
            with suppress(psycopg.errors.SerializationFailure):
                self.run("SELECT pg_wal_replay_resume()")


def make_primary(home: Path) -> Server:
    """Start a server with the database of a projections store, but without tables."""
    server = Server(home, fsync="off", autovacuum="off", wal_writer_delay="10ms")
    server.start()
    with psycopg.connect(postgres_url(home, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
    server.run("CREATE SCHEMA users")
    with psycopg.connect(server.url, autocommit=True) as connection, stores.connect("projections") as own:
        id_ = instance.read(own, "projections")
        assert id_ is not None
        instance.write(connection, "projections", id_)
    return server


def make_replica(home: Path, primary: Server) -> Replica:
    """Start a streaming replica of ``primary``."""
    # queries that conflict with replay are cancelled at once
    settings = {"max_standby_streaming_delay": "0", "wal_retrieve_retry_interval": "100ms"}
    replica = Replica(home, primary, fsync="off", **settings)
    replica.copy()
    replica.start()
    return replica


@contextmanager
def projections_on(primary: Server) -> Iterator[None]:
    """Use ``primary``, migrated, as the projections store of this process until the end of the block."""
    store = connections.databases["projections"]
    usual = {key: store[key] for key in PLACE}
    leave("projections")
    there = databases.store("projections", primary.url, pool=POOL)
    store.update({key: there[key] for key in PLACE})
    try:
        call_command("migrate", database="projections", interactive=False, verbosity=0)
        yield
    finally:
        leave("projections")
        store.update(usual)


def _forget() -> None:
    """Drop what this process knows of the servers."""
    replicas._looked_at = float("-inf")
    replicas._left_out_until.clear()


@contextmanager
def reading_from(*found: Server) -> Iterator[None]:
    """Read from these replicas until the end of the block."""
    configured = databases.replicas([each.url for each in found], pool=POOL)
    for alias, each in configured.items():
        connections.databases[alias] = {**connections.databases["projections"], **each}
    usual, settings.PROJECTIONS_REPLICAS = settings.PROJECTIONS_REPLICAS, list(configured)
    _forget()
    try:
        yield
    finally:
        _forget()
        settings.PROJECTIONS_REPLICAS = usual
        for alias in configured:
            leave(alias)
            del connections[alias]
            del connections.databases[alias]


def leave(alias: str) -> None:
    connections[alias].close()
    cast(Any, connections[alias]).close_pool()


def words() -> list[str]:
    """The state of each replica according to a fresh check, as a word."""
    return [each.word for each in replicas.states()]


def becomes(*expected: str) -> None:
    """Wait until checks find these states."""
    eventually(lambda: words() == list(expected))
