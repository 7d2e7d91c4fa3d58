"""What a re-rate of one customer replaces and widens to, and what it changes, by hand arithmetic."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ledger.core.correction import LedgerRecord
from ledger.core.rerate import Asked, Period, Read, Span, Step, plan, steps
from ledger.core.rerate_difference import Amount, Difference, differences
from pricing.cards import BookContent, CardVersion, Cell, Contract, PoolVersion, Rate, Tier
from pricing.compile import CompiledBook, compile_book
from pricing.corrections import PeriodRun, closing, taken_out, void
from pricing.errors import UsageError
from pricing.rate import Pools, PoolState, Rating, no_pools, rate
from rate_book.instants import parse_instant
from rate_book.translate import call_of_event, pool_prices, rating_record
from tests.fix_rater import whole
from tests.pooled_book import POOLED_BOOK, STEPS

DAY_US = 86_400_000_000
NOON_US = parse_instant("2026-11-10T12:00:00Z")
MONTH = (parse_instant("2026-11-01T00:00:00Z"), parse_instant("2026-12-01T00:00:00Z"))
PRICE = Amount("price", "USD")

# 4 USD per 1000, over 2500 tokens 1 per 1000.
CHEAPER = replace(
    STEPS,
    pools=(
        replace(
            STEPS.pools[0],
            versions=(PoolVersion("graduated", (Tier("0", "4", "1000"), Tier("2500", "1", "1000"))),),
        ),
        STEPS.pools[1],
    ),
)

DEARER = replace(
    POOLED_BOOK.price_cards[0],
    cards=(
        replace(
            POOLED_BOOK.price_cards[0].cards[0],
            versions=(
                CardVersion(
                    Cell((Rate("input_tokens", "6", "1000000"), Rate("output_tokens", "15", "1000000")))
                ),
            ),
        ),
    ),
)


def book(version: int, content: BookContent = POOLED_BOOK) -> CompiledBook:
    return compile_book(content, version, f"{version:02}")


def with_steps(**fields: Any) -> BookContent:
    """The book with the contract of `steps` changed."""
    contracts = tuple(
        replace(item, **fields) if item.contract_id == "steps" else item for item in POOLED_BOOK.contracts
    )
    return replace(POOLED_BOOK, contracts=contracts)


CHEAPER_BOOK = replace(
    POOLED_BOOK,
    price_cards=tuple(CHEAPER if card is STEPS else card for card in POOLED_BOOK.price_cards),
)


class Version:
    """A compiled book as the plan wants it; it refuses the events named."""

    def __init__(self, compiled: CompiledBook, refuses: Iterable[str] = ()) -> None:
        self._book = compiled
        self._refuses = frozenset(refuses)

    @property
    def version(self) -> int:
        return self._book.version

    def rate(self, event: Mapping[str, Any], pools: Pools) -> Rating:
        if event["event_id"] in self._refuses:
            raise UsageError("bad_quantity", "usage", "x", "must be a number")
        return rate(self._book, call_of_event(event, self._book.attributes), pools)


class World:
    """One customer's records as a rater writes them, with the live pools."""

    def __init__(self, customer: str, compiled: CompiledBook) -> None:
        self.records: list[LedgerRecord] = []
        self._customer = customer
        self._book = compiled
        self._live: dict[tuple[str, int], PoolState] = {}
        self._ratings: dict[int, Rating] = {}

    def _pools(self, pool: str, start_us: int) -> tuple[int, int]:
        state = self._live.get((pool, start_us))
        return no_pools(pool, start_us) if state is None else (state.quantity_atto, state.amount_atto)

    def call(self, at_us: int = NOON_US, **fields: Any) -> LedgerRecord:
        """1000 input and 100 output tokens."""
        event = whole(
            {
                "customer_id": self._customer,
                "source": "test",
                "event_id": f"event-{len(self.records)}",
                "event_time_us": at_us,
                "provider": "acme",
                "requested_model": "one",
                "usage_semantics": "inclusive",
                "usage": {"input_tokens": "1000", "output_tokens": "100"},
            }
            | fields
        )
        return self._write(event, rate(self._book, call_of_event(event), self._pools), self._book)

    def void(self, record: LedgerRecord, newest: CompiledBook | None = None) -> None:
        undone = void(self._ratings[record.seq], self._pools, pool_prices(newest or self._book))
        self._over(record)
        self._write(record.event, undone, self._book, leg="reversal", revision=record.revision + 1)

    def apply(self, found: Sequence[Step], compiled: CompiledBook) -> None:
        """What the rater makes of a run's commands."""
        run = PeriodRun()
        for step in found:
            if step.new is None:
                continue
            record, revision = step.record, step.record.revision + 1
            undone = taken_out(self._ratings[record.seq], self._pools)
            self._over(record)
            self._write(record.event, undone, self._book, leg="reversal", revision=revision)
            rating = rate(compiled, call_of_event(record.event), run.pools)
            run.add(rating)
            for before, after in zip(rating.pools_before, rating.pools_after, strict=True):
                key = after.pool, after.start_us
                quantity, amount = self._pools(*key)
                self._live[key] = after._replace(
                    quantity_atto=quantity + after.quantity_atto - before.quantity_atto,
                    amount_atto=amount + after.amount_atto - before.amount_atto,
                )
            last = closing(rating, [self._live[key] for key in step.closes], pool_prices(compiled))
            closed = last.pools_after[len(rating.pools_after) :]
            moved = [self._live[state.pool, state.start_us] for state in rating.pools_after]
            self._write(
                record.event,
                last._replace(pools_after=(*moved, *closed)),
                compiled,
                leg="replacement",
                revision=revision,
                recorded=last,
            )

    def _over(self, record: LedgerRecord) -> None:
        self.records[record.seq - 1] = self.records[record.seq - 1]._replace(current=False)

    def _write(
        self,
        event: Mapping[str, Any],
        rating: Rating,
        compiled: CompiledBook,
        *,
        leg: str = "original",
        revision: int = 0,
        recorded: Rating | None = None,
    ) -> LedgerRecord:
        seq = len(self.records) + 1
        told = rating_record(rating, compiled, customer_seq=seq, leg=leg, revision=revision)
        record = LedgerRecord(0, seq, b"", event, told, current=leg != "reversal")
        for state in rating.pools_after:
            self._live[state.pool, state.start_us] = state
        self._ratings[seq] = recorded or rating
        self.records.append(record)
        return record

    @property
    def read(self) -> Read:
        def read(spans: Sequence[Span]) -> Iterator[LedgerRecord]:
            for record in list(self.records):
                if any(start <= record.event["event_time_us"] < end for start, end in spans):
                    yield record

        return read

    def price(self) -> Fraction:
        return sum((Fraction(record.rating["price"]["amount"]) for record in self.records), Fraction(0))


def asked(version: int, from_us: int = MONTH[0], to_us: int = MONTH[1], **filters: Any) -> Asked:
    return Asked(from_us, to_us, version, **filters)


def run(world: World, question: Asked, compiled: CompiledBook) -> tuple[list[Step], dict[Amount, int]]:
    """Plan, sum up and apply."""
    version = Version(compiled)
    made = plan(world.read, question, version)
    found = list(steps(made, world.read, question, version))
    assert sum(step.new is not None for step in found) == made.commands
    difference = Difference()
    for step in found:
        difference.add(step)
    world.apply(found, compiled)
    return found, differences(difference.total)


def usd(text: str) -> int:
    return int(Fraction(text) * 10**18)


def test_one_selected_record_of_a_pool_takes_the_month_of_both_its_pools_with_it() -> None:
    """5 calls: 2500 x 0.003 + 1 + 2500 x 0.002 = 13.5, and 5 of output; then 10 + 2.5 = 12.5."""
    world = World("steps", book(1))
    for day in range(5):
        world.call(NOON_US + day * DAY_US)
    assert world.price() == Fraction("18.5")
    world.call(NOON_US + 30 * DAY_US)  # December: no part of it
    question = asked(2, NOON_US, NOON_US + 1)
    made = plan(world.read, question, Version(book(2, CHEAPER_BOOK)))
    assert made.periods == {
        ("steps/input", MONTH[0]): Period("steps/input", *MONTH, "USD", 5),
        ("steps/output", MONTH[0]): Period("steps/output", *MONTH, "USD", 5),
    }
    assert (made.selected, made.unchanged, made.commands) == (1, 0, 5)
    assert made.closes_at == {5: (("steps/input", MONTH[0]), ("steps/output", MONTH[0]))}
    before = world.price()
    found, changed = run(world, question, book(2, CHEAPER_BOOK))
    assert [step.record.seq for step in found] == [1, 2, 3, 4, 5]
    # 4, 4, 2 + 0.5, 1, 1: the third call reaches the second tier after 500 tokens
    inputs = [
        sum(
            line.amount_atto or 0
            for line in step.new.lines
            if line.meter == "input_tokens" and line.side == "price"
        )
        for step in found
        if step.new is not None
    ]
    assert inputs == [usd("4"), usd("4"), usd("2.5"), usd("1"), usd("1")]
    assert changed == {PRICE: usd("-1")}
    assert world.price() == before - 1


def test_a_version_that_changes_nothing_replaces_nothing() -> None:
    world = World("steps", book(1))
    for _ in range(3):
        world.call()
    made = plan(world.read, asked(2), Version(book(2)))
    assert (made.selected, made.unchanged, made.commands, made.periods) == (3, 3, 0, {})
    assert list(steps(made, world.read, asked(2), Version(book(2)))) == []


def test_a_run_done_is_a_run_that_finds_nothing_to_do() -> None:
    world = World("steps", book(1))
    for _ in range(5):
        world.call()
    run(world, asked(2), book(2, CHEAPER_BOOK))
    made = plan(world.read, asked(2), Version(book(2, CHEAPER_BOOK)))
    assert (made.selected, made.unchanged, made.commands) == (5, 5, 0)


def test_records_of_a_run_are_re_rated_again_and_back_again() -> None:
    """The price of the month is that of the version, each time: 18.5, 17.5, 18.5."""
    world = World("steps", book(1))
    for _ in range(5):
        world.call()
    for version, content, price, difference in (
        (2, CHEAPER_BOOK, "17.5", "-1"),
        (3, POOLED_BOOK, "18.5", "1"),
    ):
        _, changed = run(world, asked(version), book(version, content))
        assert changed == {PRICE: usd(difference)}
        assert world.price() == Fraction(price)


def test_what_a_void_left_behind_in_a_period_is_part_of_the_old_amount() -> None:
    """6 calls without the first one: 13.5 of input and 5 of output are 18.5; then 12.5 and 5."""
    world = World("steps", book(1))
    first = world.call()
    for _ in range(5):
        world.call()
    world.void(first)
    assert world.price() == Fraction("18.5")
    found, changed = run(world, asked(2), book(2, CHEAPER_BOOK))
    assert sum(step.new is not None for step in found) == 5
    assert changed == {PRICE: usd("-1")}
    assert world.price() == Fraction("17.5")


def test_a_period_whose_closing_command_was_refused_runs_again() -> None:
    """Its last call was voided meanwhile: the others are of the version, their sum is not its price."""
    world = World("steps", book(1))
    for _ in range(6):
        world.call()
    compiled = book(2, CHEAPER_BOOK)
    version = Version(compiled)
    found = list(steps(plan(world.read, asked(2), version), world.read, asked(2), version))
    world.void(found[-1].record, compiled)  # it leaves the period at the newest version's price
    world.apply(found[:-1], compiled)
    assert world.price() != Fraction("17.5")
    again, _ = run(world, asked(2), compiled)
    assert sum(step.new is not None for step in again) == 5
    assert world.price() == Fraction("17.5")


def test_where_the_month_becomes_a_day_each_day_is_closed_by_its_last_call_and_the_month_by_the_last() -> (
    None
):
    """2 calls on each of 2 days: a day is 2000 x 0.003 = 6 and 2; the month 11.5 and 4."""
    world = World("steps", book(1))
    for day in (0, 0, 1, 1):
        world.call(NOON_US + day * DAY_US)
    assert world.price() == Fraction("15.5")
    compiled = book(2, with_steps(billing_period="day"))
    made = plan(world.read, asked(2), Version(compiled))
    first, second = (NOON_US - DAY_US // 2 + day * DAY_US for day in (0, 1))
    assert {seq: {start for _, start in keys} for seq, keys in made.closes_at.items()} == {
        2: {first},
        4: {second, MONTH[0]},
    }
    _, changed = run(world, asked(2), compiled)
    assert changed == {PRICE: usd("0.5")}
    assert world.price() == 16


def test_a_customer_who_leaves_the_pools_pays_by_call_and_the_month_is_emptied() -> None:
    """3 calls of `steps`: 7.5 + 1 + 1 = 9.5 and 3; by the list each is 0.0045."""
    world = World("steps", book(1))
    for _ in range(3):
        world.call()
    assert world.price() == Fraction("12.5")
    content = replace(
        POOLED_BOOK, contracts=tuple(
            Contract("steps", "USD", ("list",)) if item.contract_id == "steps" else item
            for item in POOLED_BOOK.contracts
        )
    )  # fmt: skip
    found, changed = run(world, asked(2), book(2, content))
    assert [step.pooled for step in found] == [True] * 3
    assert changed == {PRICE: usd("0.0135") - usd("12.5")}
    assert world.price() == Fraction("0.0135")


def test_a_filter_selects_and_records_without_pools_stay_alone() -> None:
    """Each by the list is 0.0045; by one at twice the input rate 0.0075."""
    world = World("anyone", book(1))
    for number in range(4):
        world.call(product="search" if number % 2 else None)
    dearer = replace(POOLED_BOOK, price_cards=(DEARER, STEPS))
    contracts = tuple(item for item in POOLED_BOOK.contracts if item.contract_id != "packs")
    dearer = replace(dearer, contracts=contracts, assignments=POOLED_BOOK.assignments[:1])
    question = asked(2, products=frozenset({"search"}))
    found, changed = run(world, question, book(2, dearer))
    assert [(step.record.seq, step.pooled, step.closes) for step in found] == [(2, False, ()), (4, False, ())]
    assert changed == {PRICE: usd("0.006")}


def test_an_event_that_the_version_refuses_stays_and_is_named() -> None:
    world = World("anyone", book(1))
    world.call()
    made = plan(world.read, asked(2), Version(book(2), refuses=["event-0"]))
    assert made.commands == 0
    assert made.refused == ("event event-0 of anyone, source test",)
