"""The rate book in PostgreSQL: immutable ordered versions, the lead, concurrent applies."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Tier,
)
from pricing.errors import BookError
from pricing.money import parse_decimal
from pricing.rate import Call, rate
from rate_book.changes import Change
from rate_book.errors import BookInvalidError, ChangeTooSoonError, NoBookError
from rate_book.store import (
    Applied,
    apply,
    check_newest,
    load_compiled,
    load_version,
    versions,
)
from runtime.postgres import RATE_BOOK_LOCK, Connection, connect, migrate
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

SECOND_US = 1_000_000
LEAD_US = 900 * SECOND_US


def book(*versions_: CardVersion) -> BookContent:
    card = RateCard("p/m", "p", "USD", versions_, models=("m",))
    return BookContent(
        provider_cards=(card,),
        price_cards=(PriceCard("list", (replace(card, card_id="list/m"),)),),
        contracts=(Contract("c", "USD", ("list",)),),
        assignments=(Assignment("*", "c"),),
    )


def price(rate_text: str, start: int | None = None, end: int | None = None) -> CardVersion:
    return CardVersion(Cell((Rate("input_tokens", rate_text),)), start, end)


FIRST = book(price("1"))


def changed_at(instant_us: int) -> BookContent:
    return book(price("1", None, instant_us), price("2", instant_us))


@pytest.fixture
def store(postgres: PostgresFixture) -> Iterator[Connection]:
    with connect(postgres.dsn) as connection:
        migrate(connection)
        yield connection


def applied(connection: Connection, content: BookContent, *, retroactive: bool = False) -> Applied:
    return apply(connection, content, author="test", lead_us=LEAD_US, retroactive=retroactive)


def now_us(connection: Connection) -> int:
    row = connection.execute("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetchone()
    connection.commit()
    assert row is not None
    return int(str(row[0]))


def test_before_the_first_apply_there_is_nothing(store: Connection, postgres: PostgresFixture) -> None:
    assert check_newest(store) is None
    assert versions(store) == []
    with pytest.raises(NoBookError, match="version 1 is not stored"):
        load_version(store, 1)


def test_a_database_without_migrations_has_no_book(postgres: PostgresFixture) -> None:
    with connect(postgres.dsn) as connection:
        assert check_newest(connection) is None
        assert versions(connection) == []


def test_the_first_version_may_be_in_force_since_ever(store: Connection) -> None:
    before_us = now_us(store)
    outcome = applied(store, FIRST)
    assert outcome.is_new
    assert outcome.stored.version == 1
    assert outcome.stored.in_force_us is None
    assert before_us <= outcome.stored.recorded_us <= now_us(store)
    assert versions(store) == [outcome.stored]
    assert load_version(store, 1) == FIRST


def test_identical_content_is_no_new_version(store: Connection) -> None:
    first = applied(store, FIRST)
    again = applied(store, FIRST)
    assert not again.is_new
    assert again.stored == first.stored
    assert len(versions(store)) == 1


@pytest.mark.parametrize(("beyond_lead_s", "accepted"), [(-5, False), (60, True)])
def test_a_change_must_take_effect_the_lead_after_it_is_applied(
    store: Connection, beyond_lead_s: int, *, accepted: bool
) -> None:
    applied(store, FIRST)
    at_us = now_us(store) + LEAD_US + beyond_lead_s * SECOND_US
    if accepted:
        outcome = applied(store, changed_at(at_us))
        assert (outcome.stored.version, outcome.stored.in_force_us) == (2, at_us)
        assert Change("provider card p/m", at_us) in outcome.stored.touches
        return
    with pytest.raises(ChangeTooSoonError) as caught:
        applied(store, changed_at(at_us))
    assert caught.value.earliest_us == at_us
    assert 0 < caught.value.required_us - at_us < 60 * SECOND_US
    assert "provider card p/m" in str(caught.value)
    assert len(versions(store)) == 1


def test_the_lead_that_binds_is_the_one_that_raters_rely_on(store: Connection) -> None:
    """A rater that confirmed the first version relies on its lead, whatever lead a later version records."""
    applied(store, FIRST)
    at_us = now_us(store) + 60 * SECOND_US
    with pytest.raises(ChangeTooSoonError):
        apply(store, changed_at(at_us), author="test", lead_us=SECOND_US)
    shorter = apply(store, FIRST, author="test", lead_us=SECOND_US)
    assert (shorter.is_new, shorter.stored.version, shorter.stored.lead_us) == (True, 2, SECOND_US)
    with pytest.raises(ChangeTooSoonError) as caught:
        apply(store, changed_at(at_us), author="test", lead_us=SECOND_US)
    assert caught.value.required_us == shorter.stored.recorded_us + LEAD_US
    late_us = shorter.stored.recorded_us + LEAD_US
    assert apply(store, changed_at(late_us), author="test", lead_us=SECOND_US).stored.version == 3


def test_a_retroactive_change_is_recorded_as_such_with_what_it_touches(store: Connection) -> None:
    applied(store, FIRST)
    outcome = applied(store, changed_at(100), retroactive=True)
    assert outcome.stored.retroactive
    assert outcome.stored.in_force_us == 100
    assert {change.what for change in outcome.stored.touches} == {
        "provider card p/m",
        "price card list, card list/m, by contract c",
    }


def pooled(currency: str) -> BookContent:
    """A book whose only price is a pool, billed in a currency."""
    price_card = PriceCard(
        "list",
        (
            RateCard(
                "list/m", None, currency,
                (CardVersion(Cell((Rate("input_tokens", pool="tokens"),))),), models=("m",),
            ),
        ),
        pools=(Pool("tokens", currency, (PoolVersion("graduated", (Tier("0", "1"),)),)),),
    )  # fmt: skip
    return replace(FIRST, price_cards=(price_card,), contracts=(Contract("c", currency, ("list",)),))


def test_a_pool_keeps_its_currency(store: Connection) -> None:
    """A period that has begun would go on in another currency, and every rater would stop."""
    applied(store, pooled("USD"))
    with pytest.raises(
        BookInvalidError, match="pool tokens: currency = 'EUR': its periods are billed in USD"
    ):
        applied(store, pooled("EUR"), retroactive=True)
    assert [stored.version for stored in versions(store)] == [1]


def test_a_faulty_book_is_not_stored(store: Connection) -> None:
    with pytest.raises(BookError, match="overlaps"):
        applied(store, book(price("1"), price("2")))
    assert versions(store) == []


COPY = """
    insert into rate_book.versions
    select {}, lead_us, in_force_us, retroactive, touches from rate_book.versions
"""


@pytest.mark.parametrize(
    "statement",
    [
        "update rate_book.versions set author = 'x'",
        "delete from rate_book.versions",
        "truncate rate_book.versions",
        COPY.format("3, content, content_hash, author, recorded_at"),
        COPY.format("2, content, content_hash, author, recorded_at - interval '1s'"),
        COPY.format("2, content || ' ', content_hash, author, recorded_at"),
    ],
)
def test_stored_versions_cannot_be_altered_or_disordered(store: Connection, statement: str) -> None:
    applied(store, FIRST)
    with pytest.raises(psycopg.IntegrityError), store.transaction():
        store.execute(statement.encode())
    assert len(versions(store)) == 1


def test_two_applies_at_once_get_two_versions_in_one_order(
    store: Connection, postgres: PostgresFixture
) -> None:
    """Both see an empty book before they wait for the lock; the later one finds the earlier's version."""
    outcomes: list[Applied] = []
    failures: list[Exception] = []

    def work(content: BookContent) -> None:
        with connect(postgres.dsn) as connection:
            try:
                outcomes.append(applied(connection, content, retroactive=True))
            except psycopg.Error as error:
                failures.append(error)

    with store.transaction():
        store.execute("select pg_advisory_xact_lock(%s)", (RATE_BOOK_LOCK,))
        threads = [threading.Thread(target=work, args=(content,)) for content in (FIRST, changed_at(100))]
        for thread in threads:
            thread.start()
        wait_for_waiters(postgres, 2)
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(outcome.stored.version for outcome in outcomes) == [1, 2]
    newest, first = versions(store)
    assert newest.recorded_us >= first.recorded_us


def test_a_check_waits_for_an_apply_and_its_time_is_later(
    store: Connection, postgres: PostgresFixture
) -> None:
    """The apply holds the lock, takes its time, and commits; the check that waited sees its version."""
    checked = []

    def check() -> None:
        with connect(postgres.dsn) as connection:
            checked.append(check_newest(connection))

    thread = threading.Thread(target=check)
    with store.transaction():
        outcome = applied(store, FIRST)  # its transaction is a savepoint here: it commits with the outer one
        thread.start()
        wait_for_waiters(postgres, 1)
    thread.join()
    (newest,) = checked
    assert newest is not None
    assert newest.version == 1
    assert newest.checked_us > outcome.stored.recorded_us


def wait_for_waiters(postgres: PostgresFixture, count: int) -> None:
    """Until so many wait for an advisory lock of this database."""
    with postgres.connect() as connection:
        for _ in range(20_000):
            row = connection.execute(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                " and database = (select oid from pg_database where datname = current_database())"
            ).fetchone()
            if row == (count,):
                return
    raise AssertionError(f"never {count} waiting")


def test_a_version_is_compiled_once_and_prices_as_it_did_then(store: Connection) -> None:
    applied(store, FIRST)
    applied(store, changed_at(100), retroactive=True)
    call = Call("acme", "p", "m", 200, {"input_tokens": "3"})
    old, new = load_compiled(store, 1), load_compiled(store, 2)
    assert load_compiled(store, 1) is old
    assert rate(old, call).cost.amount_atto == parse_decimal("3", "")
    assert rate(new, call).cost.amount_atto == parse_decimal("6", "")
    with pytest.raises(NoBookError):
        load_compiled(store, 3)
