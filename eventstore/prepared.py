"""A statement prepared once per connection and sent through libpq, for those that every write waits for.

psycopg's ``execute`` takes 26 µs of the client's processor time and this takes 8, where the server takes 45
for an append: that is the difference between 0.6 and 1.0 of a raw INSERT at 8 clients
(docs/performance-details.md).
"""

import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

Connection = psycopg.Connection[tuple[Any, ...]]

_NAMED = re.compile(r"%\((\w+)\)s")


class Prepared:
    """A statement whose parameters are named as in psycopg, ``%(name)s``, each cast to its type. ``name`` and
    ``text`` are what the server knows it by."""

    def __init__(self, name: str, statement: str) -> None:
        self.name = f"balados_{name}".encode()
        self._parameters = tuple(dict.fromkeys(_NAMED.findall(statement)))
        numbered = _NAMED.sub(lambda found: f"${self._parameters.index(found[1]) + 1}", statement)
        self.text = numbered.encode()
        self._prepared: WeakSet[Connection] = WeakSet()

    def ordered(self, values: Mapping[str, bytes]) -> list[bytes]:
        """Return the parameters in the order of the statement's text."""
        return [values[name] for name in self._parameters]

    def rows(self, connection: Connection, values: Mapping[str, bytes]) -> list[list[bytes | None]]:
        """Return the rows of the result, as text.

        ``values`` are texts in UTF-8. A statement that writes needs a connection in autocommit mode. Raises
        ``psycopg.Error``.
        """
        ordered = self.ordered(values)
        if connection not in self._prepared:
            self._prepare(connection)
        result = connection.pgconn.exec_prepared(self.name, ordered)
        if result.status != ExecStatus.TUPLES_OK:
            failure = _failure(connection, result)
            if not isinstance(failure, errors.InvalidSqlStatementName):
                raise failure
            # psycopg deallocates every statement of a connection after an ALTER or a DROP
            self._prepare(connection)
            result = connection.pgconn.exec_prepared(self.name, ordered)
            if result.status != ExecStatus.TUPLES_OK:
                raise _failure(connection, result)
        columns = range(result.nfields)
        return [[result.get_value(row, column) for column in columns] for row in range(result.ntuples)]

    def first_value(self, connection: Connection, values: Mapping[str, bytes]) -> bytes | None:
        """Return the first column of the first row, or None when there is no row. Otherwise like ``rows``."""
        rows = self.rows(connection, values)
        return rows[0][0] if rows else None

    def _prepare(self, connection: Connection) -> None:
        result = connection.pgconn.prepare(self.name, self.text)
        if result.status != ExecStatus.COMMAND_OK:
            failure = _failure(connection, result)
            if not isinstance(failure, errors.DuplicatePreparedStatement):
                raise failure
        self._prepared.add(connection)


def _failure(connection: Connection, result: PGresult) -> psycopg.Error:
    failure = errors.error_from_result(result)
    # Without a SQLSTATE the error is libpq's own: it could not send to a server that has ended, for example,
    # and then does not change the connection's status.
    if connection.pgconn.status != ConnStatus.OK or failure.sqlstate is None:
        return psycopg.OperationalError(result.get_error_message())
    return failure
