"""Versions in parts: what they share, what they commit to, and versions stored before there were parts."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    PriceCard,
    Rate,
    RateCard,
)
from rate_book import store as store_module
from rate_book.content import canonical_json, content_hash
from rate_book.errors import ChangeTooSoonError, StoreBrokenError
from rate_book.parts import CHUNK_VERSIONS, book_hash
from rate_book.store import apply, load_compiled, load_version, versions
from runtime.postgres import RATE_BOOK_LOCK, Connection, connect, migrate
from tests.fix_postgres import PostgresFixture
from tests.integration.test_rate_book_store import wait_for_waiters

pytestmark = pytest.mark.postgres

DAY_US = 86_400_000_000


def card(number: int, count: int = 20, rate: str = "1") -> RateCard:
    """A card with a version a day; the first since ever, the last until further notice."""
    dated = tuple(
        CardVersion(
            Cell((Rate("input_tokens", f"{rate}.{number}{day}"),)),
            day * DAY_US if day else None,
            (day + 1) * DAY_US if day < count - 1 else None,
        )
        for day in range(count)
    )
    return RateCard(f"p/m-{number}", "p", "USD", dated, models=(f"m-{number}",))


def book(*cards: RateCard) -> BookContent:
    return BookContent(
        provider_cards=cards,
        price_cards=(PriceCard("list", (replace(cards[0], card_id="list/m"),)), PriceCard("none", ())),
        contracts=(Contract("c", "USD", ("list", "none")),),
        assignments=(Assignment("*", "c"),),
    )


CARDS = tuple(sorted((card(number) for number in range(1, 151)), key=lambda item: item.card_id))
BOOK = book(*CARDS)


@pytest.fixture
def store(postgres: PostgresFixture) -> Iterator[Connection]:
    with connect(postgres.dsn) as connection:
        migrate(connection)
        yield connection


def count(connection: Connection) -> int:
    row = connection.execute("select count(*) from rate_book.parts").fetchone()
    connection.commit()
    assert row is not None
    return int(str(row[0]))


def test_a_book_comes_back_as_it_was_and_its_hash_is_that_of_its_content(store: Connection) -> None:
    stored = apply(store, BOOK, author="test").stored
    assert load_version(store, 1) == BOOK
    assert stored.content_hash == book_hash(BOOK)
    again = replace(BOOK, provider_cards=BOOK.provider_cards[::-1])
    assert book_hash(again) == stored.content_hash
    assert not apply(store, again, author="test").is_new


def test_a_changed_price_adds_a_chunk_a_card_a_run_and_a_root(store: Connection) -> None:
    apply(store, BOOK, author="test")
    before = count(store)
    changed = replace(
        CARDS[70], versions=(*CARDS[70].versions[:-1], replace(CARDS[70].versions[-1], source="corrected"))
    )
    content = replace(BOOK, provider_cards=(*CARDS[:70], changed, *CARDS[71:]))
    assert apply(store, content, author="test").stored.version == 2
    assert count(store) - before == 4
    assert load_version(store, 1) == BOOK
    assert load_version(store, 2) == content


def test_a_card_has_a_chunk_for_each_eight_versions(store: Connection) -> None:
    """20 versions are 3 chunks: with the card's own part, its run, the root, and no other list: 6 parts."""
    assert CHUNK_VERSIONS == 8
    apply(store, BookContent(provider_cards=(card(1),)), author="test")
    assert count(store) == 6


def test_a_refused_change_stores_nothing(store: Connection) -> None:
    apply(store, BOOK, author="test")
    before = count(store)
    with pytest.raises(ChangeTooSoonError):
        apply(store, book(card(1, rate="2"), *CARDS[1:]), author="test")
    assert count(store) == before


def test_a_dry_run_answers_as_an_apply_would_and_stores_nothing(store: Connection) -> None:
    first = apply(store, BOOK, author="test", dry_run=True)
    assert (first.is_new, first.stored.version, first.stored.content_hash) == (True, 1, book_hash(BOOK))
    assert (versions(store), count(store)) == ([], 0)
    apply(store, BOOK, author="test")
    changed = book(card(1, rate="2"), *CARDS[1:])
    with pytest.raises(ChangeTooSoonError):
        apply(store, changed, author="test", dry_run=True)
    planned = apply(store, changed, author="test", dry_run=True, retroactive=True)
    assert (planned.stored.version, planned.stored.touches[0].from_us) == (2, None)
    assert not apply(store, BOOK, author="test", dry_run=True).is_new
    assert len(versions(store)) == 1


INSERT = """
    insert into rate_book.versions (version, root, content_hash, author, recorded_at, lead_us, retroactive,
        touches)
    select 2, {}, author, recorded_at, 0, false, '[]' from rate_book.versions
"""


@pytest.mark.parametrize(
    "statement",
    [
        "update rate_book.parts set body = body || ' '",
        "delete from rate_book.parts",
        "truncate rate_book.parts cascade",
        "insert into rate_book.parts values (sha256('a'), 'b')",
        INSERT.format("root, repeat('0', 64)"),
        INSERT.format("sha256('a'), encode(sha256('a'), 'hex')"),
    ],
)
def test_parts_cannot_be_altered_nor_versions_without_them_be_stored(
    store: Connection, statement: str
) -> None:
    apply(store, BOOK, author="test")
    with pytest.raises(psycopg.IntegrityError), store.transaction():
        store.execute(statement.encode())
    assert load_version(store, 1) == BOOK


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update rate_book.parts set body = replace(body, '1.70', '1.71')", "does not have the hash"),
        ("delete from rate_book.parts where body like '%1.70%'", "is missing"),
    ],
)
def test_a_part_altered_behind_the_triggers_is_found(store: Connection, statement: str, said: str) -> None:
    apply(store, BOOK, author="test")
    with store.transaction():
        store.execute("alter table rate_book.parts disable trigger user")
        store.execute("alter table rate_book.parts drop constraint parts_check")
        store.execute(statement.encode())
    with pytest.raises(StoreBrokenError, match=said):
        load_version(store, 1)


def put_text(connection: Connection, content: BookContent) -> str:
    """Store version 1 as it was stored before there were parts."""
    text = canonical_json(content)
    with connection.transaction():
        connection.execute(
            "insert into rate_book.versions (version, content, content_hash, author, recorded_at, lead_us,"
            " retroactive, touches) values (1, %s, %s, 'test', clock_timestamp(), 0, false, %s)",
            (text, content_hash(text), json.dumps([{"what": "provider card p/m-1", "from_us": None}])),
        )
    return content_hash(text)


def test_a_version_stored_as_text_is_read_rated_with_and_followed(
    store: Connection, postgres: PostgresFixture
) -> None:
    hashed = put_text(store, BOOK)
    assert load_version(store, 1) == BOOK
    assert load_compiled(store, 1).content_hash == hashed
    same = apply(store, BOOK, author="test", lead_us=0)
    assert (same.is_new, same.stored.content_hash) == (False, hashed)
    changed = book(card(1, rate="2"), *CARDS[1:])
    outcome = apply(store, changed, author="test", retroactive=True)
    assert (outcome.stored.version, outcome.stored.content_hash) == (2, book_hash(changed))
    assert {change.what for change in outcome.stored.touches} == {
        "provider card p/m-1",
        "price card list, card list/m, by contract c",
    }
    assert load_version(store, 2) == changed
    assert load_version(store, 1) == BOOK


def test_an_apply_that_is_overtaken_compares_again_and_at_last_under_the_lock(
    store: Connection, postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three others are applied after each comparison; the fourth comparison is made while nobody can be."""
    real, overtaken = store_module._compare, [2, 3, 4]
    apply(store, BOOK, author="test")

    def compare(connection: Connection, draft: Any) -> Any:
        compared = real(connection, draft)
        if overtaken and draft.author == "test":
            with connect(postgres.dsn) as other:
                changed = book(card(1, rate=str(overtaken.pop(0))), *CARDS[1:])
                apply(other, changed, author="other", retroactive=True)
        return compared

    monkeypatch.setattr(store_module, "_compare", compare)
    again = replace(BOOK, context_ignored=("region",))
    outcome = apply(store, again, author="test", retroactive=True)
    assert outcome.stored.version == 5
    assert {change.what for change in outcome.stored.touches} == {
        "settings",
        "provider card p/m-1",
        "price card list, card list/m, by contract c",
    }
    assert [item.version for item in versions(store)] == [5, 4, 3, 2, 1]


def test_what_is_slow_is_done_before_the_lock(store: Connection, postgres: PostgresFixture) -> None:
    """While an apply waits for the lock, its parts are stored already, and it holds no lock on them."""

    def work() -> None:
        with connect(postgres.dsn) as connection:
            apply(connection, BOOK, author="test")

    with store.transaction():
        store.execute("select pg_advisory_xact_lock(%s)", (RATE_BOOK_LOCK,))
        thread = threading.Thread(target=work)
        thread.start()
        wait_for_waiters(postgres, 1)
        with postgres.connect() as other:
            assert other.execute("select count(*) > 150 from rate_book.parts").fetchone() == (True,)
            assert other.execute("select count(*) from rate_book.versions").fetchone() == (0,)
    thread.join()
    assert len(versions(store)) == 1
