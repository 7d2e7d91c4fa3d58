"""Versions below the newest, for corrections: loaded by a thread, remembered, waited for while PostgreSQL is
away.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pricing.cards import BookContent, CardVersion, Cell, Rate, RateCard
from pricing.compile import CompiledBook
from rate_book.errors import NoBookError
from rate_book.store import apply
from rate_book.versions import BookVersions
from runtime.postgres import connect, migrate
from tests.fault.proxy import Proxy
from tests.fix_postgres import PostgresFixture
from tests.fix_rater import wait_for

pytestmark = pytest.mark.postgres


def put(postgres: PostgresFixture, rate: str) -> None:
    version = CardVersion(Cell((Rate("input_tokens", rate),)))
    card = RateCard("p/m", "p", "USD", (version,), models=("m",))
    with connect(postgres.dsn) as connection:
        migrate(connection)
        apply(connection, BookContent(provider_cards=(card,)), author="test", retroactive=True)


@contextmanager
def loading(dsn: str) -> Iterator[BookVersions]:
    versions = BookVersions(dsn)
    versions.start()
    try:
        yield versions
    finally:
        versions.stop()


def loaded(versions: BookVersions, number: int) -> CompiledBook:
    found: list[CompiledBook] = []

    def there() -> bool:
        book = versions.book_at(number)
        if book is not None:
            found.append(book)
        return book is not None

    wait_for(there, f"version {number} is loaded")
    return found[0]


def refused(ask: Callable[[], object]) -> bool:
    """Whether it is known by now that there is no such version."""
    try:
        assert ask() is None
    except NoBookError:
        return True
    return False


def test_each_version_is_had_after_a_while_and_one_that_is_not_stored_is_refused(
    postgres: PostgresFixture,
) -> None:
    put(postgres, "1")
    put(postgres, "2")
    with loading(postgres.dsn) as versions:
        assert versions.book_at(1) is None  # nobody waits
        first = loaded(versions, 1)
        assert (first.version, loaded(versions, 2).version) == (1, 2)
        assert versions.book_at(1) is first
        wait_for(lambda: refused(lambda: versions.book_at(7)), "version 7 is refused")


def test_it_is_had_once_postgresql_is_back(postgres: PostgresFixture) -> None:
    put(postgres, "1")
    given = conninfo_to_dict(postgres.dsn)
    proxy = Proxy(str(given["host"]), int(str(given["port"])))
    proxy.cut()
    with loading(make_conninfo(postgres.dsn, port=proxy.port)) as versions:
        assert versions.book_at(1) is None
        assert versions.book_at(1) is None
        proxy.mend()
        assert loaded(versions, 1).version == 1
    proxy.cut()
