"""Logins of PostgreSQL: one a part, members of group roles that the migrations made, and nothing beyond."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from runtime.postgres import Connection


@dataclass(frozen=True)
class Login:
    """A login and the group roles that it is a member of."""

    name: str
    password: str
    groups: tuple[str, ...]


def make_owner(connection: Connection, name: str, password: str, database: str) -> None:
    """Make the login that owns a database and applies migrations, and the database; nobody else may enter it.

    The connection is a super user's, in autocommit. May be repeated: the password is set anew.
    """
    login(connection, name, password, "createrole")
    if not connection.execute("select from pg_database where datname = %s", (database,)).fetchall():
        connection.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(database), sql.Identifier(name))
        )
    for closed in (database, "postgres", "template1"):
        connection.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(closed)))


def make_logins(connection: Connection, database: str, logins: Sequence[Login]) -> None:
    """Make logins that may enter the database, as members of their groups only. May be repeated."""
    for each in logins:
        login(connection, each.name, each.password, "nocreaterole")
        name = sql.Identifier(each.name)
        connection.execute(
            sql.SQL("grant connect on database {} to {}").format(sql.Identifier(database), name)
        )
        for group in each.groups:
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), name))


def login(connection: Connection, name: str, password: str, rights: str) -> None:
    """Make a login, or set its password and rights anew. `rights`: createrole or nocreaterole."""
    known = connection.execute("select from pg_roles where rolname = %s", (name,)).fetchall()
    connection.execute(
        sql.SQL("{} role {} login nosuperuser nocreatedb {} password {}").format(
            sql.SQL("alter" if known else "create"),
            sql.Identifier(name),
            sql.SQL("createrole" if rights == "createrole" else "nocreaterole"),
            sql.Literal(password),
        )
    )
