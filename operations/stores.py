"""The three stores: where each of them is, what its first schema says about it, and creating them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
from django.db import connections
from psycopg import sql
from psycopg.errors import DiskFull

from eventstore import instance
from operations import migrations
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive

SCHEMAS: Final = {"system": ("system",), "projections": ("users", "public"), "events": ("events",)}
# A schema that others may use too: only the tables that we made there are ours.
SHARED: Final = "public"
# An acknowledged write depends on these: if one is "off", a crash may lose it. Projections can be rebuilt,
# the lasting stores cannot.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
LASTING = ("events", "system")
LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names, and two stores could become one
PREFIX: Final = "balados: "
PLACE = """
SELECT current_database(), (SELECT system_identifier FROM pg_control_system()),
       current_setting('server_version'), current_setting('server_version_num')::integer / 10000
"""
IS_USED = {
    "system": "SELECT EXISTS (SELECT FROM system.users)",
    "projections": "SELECT EXISTS (SELECT FROM users.projector_positions WHERE position > 0)",
    "events": "SELECT EXISTS (SELECT FROM events.events)",
}
# the setting that says where each store is
VARIABLES = {"system": "DATABASE_URL", "projections": "PROJECTIONS_URL", "events": "EVENT_STORE_URL"}
URLS: Final = "DATABASE_URL, PROJECTIONS_URL and EVENT_STORE_URL"
DATABASE = "SELECT FROM pg_database WHERE datname = %s"

OTHER_ENCODING = (
    "SELECT FROM pg_database WHERE datname = 'template1' AND pg_encoding_to_char(encoding) <> 'UTF8'"
)

Connection = psycopg.Connection[Any]
Server = Mapping[str, Any]  # the parameters of ``psycopg.connect``
State = Literal["maintenance", "moving", "moved", "filling", "arrived", "restoring"]


class UnsafeStore(OperatorError):
    """A store's server may lose what it acknowledged, or the store is half restored."""


class CannotCreate(OperatorError):
    """A database is missing and cannot be created."""


class StoreState(NamedTuple):
    """What was found of a store: the id of its instance, and whether it holds anything."""

    id: UUID | None = None
    is_used: bool = False


class Place(NamedTuple):
    """Where a store is. ``server``: host and port, or the socket's directory; ``system``: the cluster's
    id."""

    server: str
    database: str
    system: int
    version: str
    major: int

    def __str__(self) -> str:
        return f"database {self.database} on {self.server}"

    def same_database(self, other: "Place") -> bool:
        """Whether both are the same database, whatever their URLs."""
        return (self.system, self.database) == (other.system, other.database)


class Note(msgspec.Struct, frozen=True):
    """What is going on with a store at this place; stored as the comment on its first schema.

    ``other`` is the place where it moves to or came from.
    """

    state: State
    other: Place | None = None
    since: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))

    @property
    def is_away(self) -> bool:
        """Whether this is the old place of a move, finished or not."""
        return self.state in ("moving", "moved")

    def names(self, place: Place) -> bool:
        """Whether ``place`` is the other place."""
        return self.other is not None and self.other.same_database(place)


def read_note(connection: Connection | Any, alias: str) -> Note | None:
    """Return the note of the store at this place, if there is one; ``connection`` may also be a Django
    cursor."""
    asked = "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')"
    ((text,),) = connection.execute(asked, [SCHEMAS[alias][0]]).fetchall()
    if text is None or not text.startswith(PREFIX + "{"):
        return None
    return msgspec.json.decode(text.removeprefix(PREFIX), type=Note)


def has_room(connection: Connection) -> bool:
    """Whether the server can write to its disk.

    A query spills some rows into a temporary file, which is not logged and disappears at once. The connection
    must be in autocommit. Raises ``psycopg.Error``.
    """
    try:
        with connection.transaction():
            connection.execute("SET LOCAL work_mem = '64kB'")
            connection.execute("SELECT count(*) FROM generate_series(1, 5000)")
    except DiskFull:
        return False
    return True


def write_note(connection: Connection, alias: str, note: Note | None) -> None:
    text = sql.NULL if note is None else sql.Literal(PREFIX + msgspec.json.encode(note).decode())
    schema = sql.Identifier(SCHEMAS[alias][0])
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, text))


def parameters(alias: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what ``psycopg.connect`` needs for a plain connection to a store, outside Django's pool.

    ``settings``: those of the store at another place, as ``balados.databases.store`` returns them.
    """
    found = connections[alias].settings_dict if settings is None else settings
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    wanted = {name: found[key] for name, key in names.items() if found.get(key)}
    kept = ("ssl", "passfile", "options")
    ours = {key: value for key, value in found["OPTIONS"].items() if key.startswith(kept)}
    return {**ours, **wanted, "connect_timeout": 5}


def connect(alias: str) -> Connection:
    """Open a plain connection to a store, in autocommit. Raises ``psycopg.OperationalError``."""
    return psycopg.connect(**parameters(alias), autocommit=True)


def place(alias: str) -> Place:
    """Return where a store is. Raises ``psycopg.Error``."""
    with connect(alias) as connection:
        return place_of(connection)


def place_of(connection: Connection) -> Place:
    row = connection.execute(PLACE).fetchall()[0]
    host, port = connection.info.host, connection.info.port
    return Place(host if host.startswith("/") else f"{host}:{port}", *row)


def create(
    aliases: Iterable[str] = tuple(SCHEMAS),
    say: Say = print,
    anew: Collection[str] = (),
    *,
    safe: bool = False,
) -> list[str]:
    """Create the missing databases and schemas of the stores, and give these the id of the instance.

    Returns the databases created. ``anew``: the stores that may be created empty beside others that are not.
    Repeatable, also by two processes at once. Raises ``CannotCreate``, and ``psycopg.Error`` when a server is
    away, refuses the password, or the role may not create schemas; with ``safe`` also ``UnsafeStore``, before
    anything is created.
    """
    id_ = _instance(anew)
    servers = {alias: parameters(alias) for alias in aliases}
    for alias, server in servers.items() if safe else ():
        refuse_unsafe_place(alias, server)
    created = [server["dbname"] for alias, server in servers.items() if create_at(alias, server, say)]
    for alias in servers:
        with connect(alias) as connection, exclusive(connection, alias, say):
            if instance.read(connection, alias) is None:
                instance.write(connection, alias, id_)
    return created


def _instance(anew: Collection[str]) -> UUID:
    """Return the id that the stores share, or a new one if none has any. Raises ``CannotCreate``."""
    found = {alias: _found(alias) for alias in SCHEMAS}
    known = {each.id for each in found.values() if each.id}
    if len(known) > 1:
        raise CannotCreate(f"The stores are of different instances: look at {URLS}.")
    used = [alias for alias, each in found.items() if each.is_used]
    missing = [alias for alias in LASTING if found[alias].id is None and alias not in anew]
    if known and used and missing:
        raise CannotCreate(
            f"There is no {missing[0]} store in {parameters(missing[0])['dbname']}, and the {used[0]} store"
            f" is in use: an empty one beside it would hide what is in the right one. Look at {URLS}. If it"
            f" is lost, restore it (store_restore), or begin it anew: db_reset --{missing[0]}"
        )
    return known.pop() if known else uuid4()


def _found(alias: str) -> StoreState:
    """Return what exists of a store. Raises ``psycopg.OperationalError`` when its server is away."""
    server = parameters(alias)
    try:
        connection = connect(alias)
    except psycopg.OperationalError:
        with psycopg.connect(**{**server, "dbname": "postgres"}) as postgres:
            if not postgres.execute(DATABASE, [server["dbname"]]).rowcount:
                return StoreState()
        connection = connect(alias)  # perhaps another process has created it in this moment
    with connection:
        return StoreState(instance.read(connection, alias), _is_used(connection, alias))


def _is_used(connection: Connection, alias: str) -> bool:
    try:
        return connection.execute(IS_USED[alias]).fetchone() == (True,)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return False


def create_at(alias: str, server: Server, say: Say) -> bool:
    """Create one store at a place, as ``create`` does. Return whether the database had to be created."""
    created = _create_database(alias, server)
    with psycopg.connect(**server, autocommit=True) as connection:
        _refuse_unsuitable(connection, alias)
        present = "SELECT to_regnamespace(%s) IS NOT NULL"
        wanted = [name for name in SCHEMAS[alias] if not connection.execute(present, [name]).fetchall()[0][0]]
        if wanted:  # otherwise the right to create schemas is not needed
            with exclusive(connection, alias, say):
                for schema in map(sql.Identifier, wanted):
                    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    return created


def migrate(verbosity: int = 1, say: Say = print) -> None:
    """Bring every store to its newest migrations. Raises what ``migrations.migrate`` raises."""
    for alias in SCHEMAS:
        migrations.migrate(alias, say, verbosity=verbosity)


def refuse_unsafe_place(alias: str, server: Server) -> None:
    """Do what ``refuse_unsafe`` does for one store, at a place whose database may not exist yet."""
    try:
        connection = psycopg.connect(**server, autocommit=True)
    except psycopg.OperationalError:
        connection = psycopg.connect(**{**server, "dbname": "postgres"}, autocommit=True)
    with connection:
        check_safe(connection, alias)


def refuse_unsafe(aliases: Iterable[str] = LASTING) -> None:
    """Raise ``UnsafeStore`` if a store that cannot be rebuilt is on a server that would lose writes."""
    for alias in aliases:
        with connect(alias) as connection:
            check_safe(connection, alias)


def check_safe(connection: Connection, alias: str) -> None:
    """Raise ``UnsafeStore`` if the server would lose writes, or a restore of the store has not ended."""
    for setting in DURABILITY if alias in LASTING else ():
        if connection.execute("SELECT current_setting(%s)", [setting]).fetchone() == ("off",):
            raise UnsafeStore(f"{setting} is off on the server of the {alias} store; switch it on")
    check_restored(connection, alias)


def check_restored(connection: Connection, alias: str) -> None:
    """Raise ``UnsafeStore`` if a restore of the store has begun and not ended."""
    note = read_note(connection, alias)
    if note is not None and note.state == "restoring":
        raise UnsafeStore(
            f"A restore of the {alias} store has not ended: run that store_restore again, to its end."
        )


def _refuse_unsuitable(connection: Connection, alias: str) -> None:
    """Raise ``CannotCreate`` if the server is too old, or the database cannot hold every text.

    Django would refuse an old server only at its own first connection.
    """
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        raise CannotCreate(
            f"The database of the {alias} store has the encoding {encoding}; it must be UTF8."
            " Make another: CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
        )
    major, minor = divmod(connection.info.server_version, 10_000)
    (oldest,) = connections[alias].features.minimum_database_version or (0,)
    if major < oldest:
        raise CannotCreate(
            f"PostgreSQL {oldest} or newer is needed; the server of the {alias} store is {major}.{minor}."
        )


def _create_database(alias: str, server: Server) -> bool:
    """Create the database if it is missing; return whether it was."""
    name = str(server["dbname"])
    if len(name.encode()) > LONGEST_NAME:
        raise CannotCreate(f"{alias}: PostgreSQL's names have at most {LONGEST_NAME} bytes, not {name}.")
    if name in ("template0", "template1"):
        raise CannotCreate(f"{alias}: {name} is what PostgreSQL copies new databases from: name another.")
    try:
        connection = _open_postgres(server)
    except psycopg.OperationalError:  # perhaps the server was only too busy
        connection = _open_postgres(server)
    if connection is None:
        return False
    with connection:
        # one creator at a time: two at once could make each other fail (deadlock, template in use)
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"balados create {name}"])
        if connection.execute(DATABASE, [name]).rowcount:
            return False
        return _create_missing(connection, alias, name)


def _open_postgres(server: Server) -> Connection | None:
    """Return a connection to the database "postgres", or None if we are let only into our own.

    libpq gives the reason for a failure only in the server's language, so that database is asked which exist.
    Raises ``psycopg.OperationalError`` if we are let into neither.
    """
    try:
        return psycopg.connect(**{**server, "dbname": "postgres"}, autocommit=True)
    except psycopg.OperationalError:
        psycopg.connect(**server).close()
        return None


def _create_missing(connection: Connection, alias: str, name: str) -> bool:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if connection.execute(OTHER_ENCODING).rowcount:
        statement += sql.SQL(" ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
    try:
        connection.execute(statement)
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return False  # somebody else created it at the same moment
    except psycopg.errors.InsufficientPrivilege:
        role = connection.info.user
        by_hand = sql.SQL("{} OWNER {}").format(statement, sql.Identifier(role)).as_string(connection)
        raise CannotCreate(
            f"{alias}: there is no database {name}, and the role {role} may not create it.\n"
            f"As an administrator of the server: {by_hand}"
        ) from None
    return True
