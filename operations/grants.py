"""What the role of each program may do in each store, where programs have roles of their own.

The stores belong to the role in the operator's URLs, which creates tables, migrates, restores and resets. The
programs only read and write rows; none of them changes a schema. docs/deploy.md
"""

from collections.abc import Iterator
from typing import Final

from psycopg import sql

from eventstore import instance
from operations.errors import OperatorError
from operations.inventory import owned_tables
from operations.stores import SCHEMAS, Connection, connect

PROGRAMS: Final = ("web", "projector", "worker")
CHANGES: Final = "SELECT, INSERT, UPDATE, DELETE"
# tables that only change as a whole: reference data, and what only commands write
READ_ONLY: Final = ("system.categories", "system.django_migrations", "users.django_migrations")
# Events are never updated; only the worker deletes them (retention). Tables of the events store that are not
# named here are not part of the log: their rows may be changed.
_APPENDS = {
    "events": "SELECT, INSERT",
    "streams": "SELECT, INSERT, UPDATE",
    **dict.fromkeys(("projection_versions", "restores", "django_migrations"), "SELECT"),
}
EVENTS: Final = {"web": _APPENDS, "worker": {**_APPENDS, "events": "SELECT, INSERT, DELETE"}}
ACKNOWLEDGES: Final = {"projection_versions": "SELECT, INSERT, UPDATE"}
# after pg_restore everybody may execute these
NO_FUNCTIONS = sql.SQL("REVOKE ALL ON FUNCTION events.delete_removed, events.purge_erased FROM PUBLIC, {}")
FUNCTIONS = sql.SQL("GRANT EXECUTE ON FUNCTION events.delete_removed, events.purge_erased TO {}")


class NotGranted(OperatorError):
    """This role cannot be given the rights of a program; the text says why."""


def grant(program: str, role: str, *, only_print: bool = False) -> Iterator[str]:
    """Let ``role`` do what ``program`` needs in every store, and nothing else; yield the statements.

    Repeat it after migrations, restores and moves, which create tables. Raises ``NotGranted``,
    ``psycopg.Error``.
    """
    for alias in SCHEMAS:
        with connect(alias) as connection:
            if role == connection.info.user:
                raise NotGranted(f"{role} owns the {alias} store, and keeps its rights: name another role.")
            found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount
            if not (found or only_print):
                raise NotGranted(
                    f"There is no role {role} on the server of the {alias} store. As an administrator:\n"
                    f"""CREATE ROLE "{role}" LOGIN PASSWORD '…'"""
                )
            with connection.transaction():
                for statement in _statements(connection, alias, program, sql.Identifier(role)):
                    if not only_print:
                        connection.execute(statement)
                    yield f"{statement.as_string(connection)};"


def _statements(
    connection: Connection, alias: str, program: str, role: sql.Identifier
) -> Iterator[sql.Composed]:
    tables = owned_tables(connection, alias)
    for table in tables:
        yield sql.SQL("REVOKE ALL ON {} FROM {}").format(table.identifier, role)
    if (alias, program) == ("system", "projector"):
        return
    for schema in map(sql.Identifier, SCHEMAS[alias]):
        yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role)
        if alias == "projections":  # a rebuild creates its tables anew
            usual = sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT {} ON TABLES TO {}")
            yield usual.format(schema, sql.SQL(CHANGES), role)
    yield sql.SQL("GRANT SELECT ON {} TO {}").format(
        sql.Identifier(instance.SCHEMAS[alias], "instance"), role
    )
    for table in tables:
        rights = "SELECT" if str(table) in READ_ONLY else CHANGES
        if alias == "events" and program == "projector":
            rights = ACKNOWLEDGES.get(table.name, "SELECT")
        elif alias == "events":
            rights = EVENTS[program].get(table.name, CHANGES)
        yield sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), table.identifier, role)
    if alias == "events":
        yield sql.SQL("GRANT SELECT ON SEQUENCE events.events_position_seq TO {}").format(role)
        yield NO_FUNCTIONS.format(role)
    if alias == "events" and program != "projector":
        yield FUNCTIONS.format(role)
