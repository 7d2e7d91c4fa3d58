"""Databases made and dropped whole: for the demo, the benchmarks and tools that need a clean one."""

from psycopg import sql
from psycopg.conninfo import make_conninfo

from runtime.postgres import connect


def create_database(dsn: str, name: str) -> str:
    """Create an empty database on the server of `dsn` and return its own connection string."""
    with connect(dsn) as connection:
        connection.set_autocommit(True)
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return make_conninfo(dsn, dbname=name)


def drop_databases(dsn: str, prefix: str) -> None:
    """Drop every database whose name begins with a prefix, whoever is connected."""
    with connect(dsn) as connection:
        connection.set_autocommit(True)
        found = connection.execute(
            "select datname from pg_database where starts_with(datname, %s)", (prefix,)
        ).fetchall()
        for (name,) in found:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(str(name))))
