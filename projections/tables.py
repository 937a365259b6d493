"""Names of tables in SQL."""

from psycopg import sql


def identifier(table: str) -> sql.Identifier:
    """``users.subscriptions`` as SQL writes it."""
    schema, name = table.split(".")
    return sql.Identifier(schema, name)
