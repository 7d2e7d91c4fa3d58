"""PostgreSQL for tests: a database of a test's own on the shared server, dropped at its end."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from runtime.settings import PostgresSettings
from tests.fix_stack import settings_loader


@dataclass(frozen=True)
class PostgresFixture:
    """An empty database."""

    dsn: str

    @property
    def settings(self) -> PostgresSettings:
        return PostgresSettings(dsn=SecretStr(self.dsn))

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection; the test closes it."""
        return psycopg.connect(self.dsn, autocommit=autocommit)


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> str:
    """The connection string of the server under test, of a role that may create databases."""
    loader = settings_loader()
    if not loader.names_endpoint("postgres"):
        request.getfixturevalue("local_stack")
    return loader.section("postgres", PostgresSettings).dsn.get_secret_value()


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[PostgresFixture]:
    """A fresh database for this test alone."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield PostgresFixture(make_conninfo(postgres_server, dbname=name))
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
