"""A book loaded for rating: what was in force of late at once, the rest when asked for; same answers."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Contract,
    ExchangeRate,
    ModelAlias,
    Multiplier,
    NotBilled,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
    Variant,
    Window,
)
from pricing.compile import CompiledBook
from pricing.rate import Call, rate
from rate_book.encode import encode_rating
from rate_book.errors import StoreBrokenError
from rate_book.parts import read_card
from rate_book.shelf import KEPT_US, Shelf
from rate_book.store import apply, load_compiled, load_version
from runtime.postgres import Connection, DatabaseUnavailableError, connect, migrate
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

DAY_US = 86_400_000_000
DAYS = 200
BATCH = ContextKey("processing", ("standard", "batch"), "standard")
TIER = ContextKey("event.quality_tier", ("normal", "high"), "normal")


def now_us(connection: Connection) -> int:
    row = connection.execute("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetchone()
    connection.commit()
    assert row is not None
    return int(str(row[0]))


def version(number: int, start: int | None, end: int | None) -> CardVersion:
    """Each version has its own price; what it reads of a call changes with time."""
    cell = Cell((Rate("input_tokens", f"{number + 1}"),))
    plain = CardVersion(cell, start, end)
    if number % 4 == 0:
        return plain
    if number % 4 == 1:
        batch = Variant((("processing", "batch"),), Cell((Rate("input_tokens", "0.5"),)))
        return replace(plain, context=(BATCH,), variants=(batch,))
    if number % 4 == 2 and number < 10:
        high = Multiplier("high", "1.5", (("event.quality_tier", "high"),))
        rule = NotBilled((("event.status", "refused"),))
        return replace(plain, context=(TIER,), multipliers=(high,), not_billed=(rule,))
    night = Schedule("hours", "day", (Window("night", "00:00", "06:00"),))
    half = Multiplier("night", "0.5", (("hours", "night"),))
    return replace(plain, schedules=(night,), multipliers=(half,))


def card(card_id: str, model: str, bounds: list[int | None], gaps: frozenset[int] = frozenset()) -> RateCard:
    """A version between each two bounds but those in `gaps`."""
    spans = pairwise(bounds)
    dated = (version(n, start, end) for n, (start, end) in enumerate(spans) if n not in gaps)
    return RateCard(card_id, "p", "USD", tuple(dated), models=(model,))


def book(at_us: int) -> BookContent:
    weekly: list[int | None] = [None, *(at_us - day * DAY_US for day in range(DAYS, 0, -7)), None]
    around = at_us - KEPT_US
    cards = (
        card("p/weekly", "weekly", weekly),
        card("p/gaps", "gaps", weekly, frozenset({3, 21, 22, 23, 24, 28})),
        card("p/ended", "ended", weekly[:9]),
        card("p/future", "future", [at_us + DAY_US, at_us + 2 * DAY_US, None]),
        card("p/edge", "edge", [None, around - DAY_US, around, around + 3_600_000_000, None]),
        card("p/one", "one", [None, None]),
    )
    sold = tuple(replace(item, card_id=f"list/{item.models[0]}", currency="EUR") for item in cards)
    return BookContent(
        provider_cards=cards,
        price_cards=(PriceCard("list", sold),),
        contracts=(Contract("c", "USD", ("list",)),),
        assignments=(Assignment("*", "c"),),
        context_ignored=("region",),
        aliases=(
            ModelAlias("p", "latest", "weekly", None, around),
            ModelAlias("p", "latest", "gaps", around),
        ),
        exchange=(
            ExchangeRate("EUR", "USD", "1.1", None, at_us - 90 * DAY_US),
            ExchangeRate("EUR", "USD", "1.2", at_us - 90 * DAY_US),
        ),
    )


@pytest.fixture
def store(postgres: PostgresFixture) -> Iterator[Connection]:
    with connect(postgres.dsn) as connection:
        migrate(connection)
        yield connection


def shelf_of(book: CompiledBook) -> Shelf:
    assert isinstance(book.shelf, Shelf)
    return book.shelf


def bytes_of(book: CompiledBook, call: Call) -> bytes:
    return encode_rating(rate(book, call), book, customer_seq=1)


CONTEXTS: tuple[dict[str, str], ...] = (
    {},
    {"processing": "batch", "region": "eu"},
    {"event.quality_tier": "high", "event.status": "refused"},
    {"hours": "night"},
)


def test_every_instant_is_rated_as_by_the_whole_book(store: Connection, postgres: PostgresFixture) -> None:
    at_us = now_us(store)
    apply(store, book(at_us), author="test")
    whole = load_compiled(store, 1)
    kept = load_compiled(store, 1, postgres.dsn)
    assert whole.shelf is None
    assert abs(shelf_of(kept).loaded_from_us - (at_us - KEPT_US)) < 60_000_000
    assert kept.attributes == whole.attributes == ("event.quality_tier", "event.status")
    loaded_us = shelf_of(kept).loaded_from_us
    instants = [at_us + 5 * DAY_US // 2, loaded_us - 1, loaded_us, loaded_us + 1]
    instants += [at_us + (day * DAY_US) // 2 + 7_200_000_000 for day in range(6, -2 * DAYS - 20, -5)]
    priced = 0
    for model in ("weekly", "gaps", "ended", "future", "edge", "one", "latest", "none"):
        for instant in instants:
            for context in CONTEXTS:
                call = Call("acme", "p", model, instant, {"input_tokens": "7"}, context=context)
                answer = bytes_of(whole, call)
                assert bytes_of(kept, call) == answer, (model, instant, context)
                priced += rate(whole, call).price.status == "priced"
    assert priced > 500


def test_only_chunks_of_late_are_at_hand_until_older_ones_are_asked_for(
    store: Connection, postgres: PostgresFixture
) -> None:
    """Starts 200, 193 ... 4 days ago and one since ever: 30 versions.

    43 days see those that began 46, 39, 32, 25, 18, 11 and 4 days ago; beside these 7 the one before is read.
    """
    at_us = now_us(store)
    apply(store, book(at_us), author="test")
    shelf = shelf_of(load_compiled(store, 1, postgres.dsn))
    recent, whole = shelf.recent("", "p/weekly"), shelf.whole("", "p/weekly")
    assert len(whole.versions) == 30
    assert whole == load_version(store, 1).provider_cards[-1]
    assert recent.versions == whole.versions[-8:]
    # Chunks of 8: versions 0-7, which p/ended has too and needs, to tell since when it has no price; 8-15;
    # 16-23; 24-29. The last 7 are 23 to 29.
    chunks = read_card(next(body for body in shelf.bodies.values() if '"p/weekly"' in body[:60])).chunks
    assert [chunk.part in shelf.bodies for chunk in chunks] == [True, False, True, True]


def test_a_next_version_takes_what_it_shares_from_the_one_before(
    store: Connection, postgres: PostgresFixture
) -> None:
    at_us = now_us(store)
    first = book(at_us)
    apply(store, first, author="test")
    changed = replace(first.provider_cards[5], versions=(CardVersion(Cell((Rate("input_tokens", "9"),))),))
    apply(
        store,
        replace(first, provider_cards=(*first.provider_cards[:5], changed)),
        author="test",
        retroactive=True,
    )
    old = load_compiled(store, 1, postgres.dsn)
    new = load_compiled(store, 2, postgres.dsn, old)
    shared = {part: body for part, body in shelf_of(new).bodies.items() if part in shelf_of(old).bodies}
    assert len(shared) > 20
    assert all(body is shelf_of(old).bodies[part] for part, body in shared.items())
    call = Call(None, "p", "one", at_us, {"input_tokens": "1"})
    assert [str(rate(item, call).cost.amount_atto)[0] for item in (old, new)] == ["1", "9"]


def test_without_postgresql_a_recent_call_is_rated_and_an_old_one_stops_whoever_rates(
    store: Connection, postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rate_book.shelf._FETCH_BUDGET_S", 0)
    at_us = now_us(store)
    apply(store, book(at_us), author="test")
    away = make_conninfo(postgres.dsn, host="127.0.0.1", port=1)
    kept = load_compiled(store, 1, away)
    usage = {"input_tokens": "1"}
    assert rate(kept, Call(None, "p", "weekly", at_us, usage)).cost.status == "priced"
    old = Call(None, "p", "weekly", at_us - 100 * DAY_US, usage)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError, match="not usable") as caught:
            rate(kept, old)
        assert caught.value.exit_code == 3
    with pytest.MonkeyPatch.context() as again:
        again.setattr(shelf_of(kept), "_dsn", postgres.dsn)
        assert rate(kept, old) == rate(kept, old)
        assert bytes_of(kept, old) == bytes_of(load_compiled(store, 1), old)


def test_a_part_that_is_gone_stops_whoever_rates(store: Connection, postgres: PostgresFixture) -> None:
    at_us = now_us(store)
    apply(store, book(at_us), author="test")
    kept = load_compiled(store, 1, postgres.dsn)
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute("alter table rate_book.parts disable trigger user")
        connection.execute("alter table rate_book.versions drop constraint versions_root_fkey")
        connection.execute("delete from rate_book.parts")
    with pytest.raises(StoreBrokenError, match="is missing"):
        rate(kept, Call(None, "p", "weekly", at_us - 100 * DAY_US, {"input_tokens": "1"}))
