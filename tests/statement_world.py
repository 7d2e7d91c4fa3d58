"""A ledger that a test writes into as the service does, and its statements."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.adapters.plain_rows import PlainRows
from ledger.adapters.statement_store import Answer, Close, Wanted, close, show
from ledger.adapters.store import Outcome, Store
from ledger.core.batch import Batch
from ledger.core.row_bytes import row_bytes
from ledger.core.rows import Place, RatedRow
from pricing.cards import Assignment, BookContent, Contract
from rate_book.instants import parse_instant
from rate_book.store import apply
from runtime.postgres import connect, migrate
from tests.ledger_rows import NONE, Made, Written, line, usd

WRITER = "ratestream_ledger_writer"
CONTRACTS = (
    Contract("standard", "USD", (), allowance="0.5", minimum="2"),
    Contract("plain", "USD", ()),
)
JO = Close("jo", "month end", early=False, late_us=0)
AUGUST, SEPTEMBER = Wanted("acme", "2026-08"), Wanted("acme", "2026-09")


class World:
    """A ledger that a test writes into as the service does, and statements of it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.made = Made()
        self._next = 0

    def store(self, failpoints: Any = None) -> Store:
        return Store(
            self.dsn,
            role=WRITER,
            application_name="test-ledger",
            days_ahead=1,
            topic_ids={"rated": "id-1", "rejected": "id-2"},
            topics=("rated", "rejected"),
            failpoints=failpoints or Passing(),
        )

    def usage(
        self, price: str | None, at: str, *, customer: str = "acme", currency: str = "USD", **rating: Any
    ) -> Written:
        """1,000 input tokens, for which the customer pays this; None: unpriced."""
        month = at[:7]
        following = f"2026-{int(month[5:]) + 1:02}"
        period = {
            "start_us": parse_instant(f"{month}-01T00:00:00Z"),
            "end_us": parse_instant(f"{following}-01T00:00:00Z"),
        }
        side = NONE if price is None else usd(price, currency=currency)
        lines = [line("cost", "input_tokens", "1000", "0.001"), line("price", "input_tokens", "1000", price)]
        told = {"customer_id": customer, "at": at, "product": "chat"}
        given = {"service_period": period, "plan": "standard"} | rating
        return self.made.rated(told, usd("0.001"), side, lines, **given)

    def batch(self, written: Sequence[Written]) -> Batch:
        """As the intake makes it: plain rows where records are plain."""
        start, self._next = self._next, self._next + len(written)
        where = ("rated", 0)
        batch = Batch({where: start}, {where: self._next})
        made = PlainRows().read([(_place(item.row), item.row.record) for item in written])
        for item, plain in zip(written, made, strict=True):
            batch.rated.append(item.row if plain is None else plain[0])
            batch.records.append(item.record if plain is None else None)
            batch.lines.append(row_bytes(item.row) if plain is None else plain[1])
        return batch

    def write(self, *written: Written) -> None:
        store = self.store()
        if not self._next:
            store.begin({("rated", 0): 0})
        assert store.write(self.batch(written))[0] is Outcome.WRITTEN
        store.close()

    def show(self, wanted: Wanted = AUGUST) -> Answer:
        return show(self.dsn, wanted)

    def close(self, wanted: Wanted = AUGUST, order: Close = JO, behind: str | None = None) -> Answer:
        return close(self.dsn, wanted, order, behind=lambda _: behind, role=WRITER)


class Passing:
    def hit(self, name: str) -> None:
        pass


class Holding:
    """Waits at a point until it is let go."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.reached, self.go = threading.Event(), threading.Event()

    def hit(self, name: str) -> None:
        if name == self._name:
            self.reached.set()
            assert self.go.wait(30)


def make_world(dsn: str) -> World:
    """An empty ledger, and a book in which everybody has the contract `standard`."""
    content = BookContent(contracts=CONTRACTS, assignments=(Assignment("*", "standard"),))
    with connect(dsn) as connection:
        migrate(connection)
        apply(connection, content, author="test")
    return World(dsn)


def _place(row: RatedRow) -> Place:
    posted = datetime.fromisoformat(row.posted_at) - datetime(1970, 1, 1, tzinfo=UTC)
    return Place(row.kafka_partition, row.kafka_offset, posted // timedelta(milliseconds=1))
