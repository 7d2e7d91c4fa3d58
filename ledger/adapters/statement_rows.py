"""What statements read and write in PostgreSQL, row by row."""

from typing import Any, NamedTuple, cast

from ledger.core.amounts import atto
from ledger.core.statement import ClosedPeriod, Sum
from ledger.core.statement_text import sha256, terms_of
from runtime.postgres import Connection

_SUMS = """
select service_start_us, plan, dimensions->>'product', provider, model, meter, price_status, price_currency,
    price_reason, sum(events)::bigint, sum(quantity)::text, sum(price)::text
from ledger.rollup_meters_months
where customer_id = %s and posting_start_us >= %s and posting_start_us < %s
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
"""
_TOTALS = """
select service_start_us, posting_start_us, price_status, price_currency, sum(events)::bigint, sum(price)::text
from ledger.rollup_months where customer_id = %s and posting_start_us < %s group by 1, 2, 3, 4
"""
_NO_END_US = 2**62


class Progress(NamedTuple):
    """How far the customer's sequence is in the ledger without a gap."""

    contiguous_seq: int
    gap_seq: int | None


class Total(NamedTuple):
    """Sums of whole records; `amount` is 0 where there is no currency."""

    service_start_us: int
    posting_start_us: int
    status: str
    currency: str | None
    events: int
    amount: int


class Stored(NamedTuple):
    """A closed statement as it is kept."""

    closed: ClosedPeriod
    content: str
    content_sha256: str

    @property
    def is_intact(self) -> bool:
        return sha256(self.content) == self.content_sha256


def locked_progress(connection: Connection, customer: str) -> Progress:
    """The customer's progress, its row locked until the transaction ends; 0 where it never had a record."""
    query = "select contiguous_seq, gap_seq from ledger.customers where customer_id = %s for update"
    row = connection.execute(query, (customer,)).fetchone()
    if row is None:
        connection.execute(
            "insert into ledger.customers (customer_id, contiguous_seq, last_seq) values (%s, 0, 0)"
            " on conflict do nothing",
            (customer,),
        )
        row = connection.execute(query, (customer,)).fetchone() or (0, None)
    contiguous_seq, gap_seq = cast("tuple[int, int | None]", row)
    return Progress(contiguous_seq, gap_seq)


def now_us(connection: Connection) -> int:
    """PostgreSQL's time."""
    row = connection.execute("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetchone()
    return int(str((row or (0,))[0]))


def position(connection: Connection, topic_id: str, partition: int) -> int | None:
    """Where the ledger goes on in a partition; None: it never had it."""
    row = connection.execute(
        "select next_offset from ledger.positions where topic_id = %s and kafka_partition = %s",
        (topic_id, partition),
    ).fetchone()
    return None if row is None else int(str(row[0]))


def sums(connection: Connection, customer: str, from_us: int, to_us: int | None) -> list[Sum]:
    """What was posted to [from_us, to_us), by meter."""
    rows = connection.execute(_SUMS, (customer, from_us, _NO_END_US if to_us is None else to_us)).fetchall()
    return [_sum(row) for row in rows]


def _sum(row: tuple[Any, ...]) -> Sum:
    *keys, quantity, amount = row
    return Sum._make((*keys, _atto(quantity), _atto(amount)))


def totals(connection: Connection, customer: str, to_us: int) -> list[Total]:
    """What was posted before `to_us`, by record."""
    rows = connection.execute(_TOTALS, (customer, to_us)).fetchall()
    return [Total._make((*keys, _atto(amount) or 0)) for *keys, amount in cast("list[tuple[Any, ...]]", rows)]


def statements(connection: Connection, customer: str) -> list[ClosedPeriod]:
    """The customer's closed statements, first to last."""
    rows = connection.execute(
        "select number, period_start_us, period_end_us, currency, content::json->'terms'"
        " from ledger.statements where customer_id = %s order by number",
        (customer,),
    ).fetchall()
    return [
        ClosedPeriod(number, start_us, end_us, currency, terms_of(terms))
        for number, start_us, end_us, currency, terms in cast("list[tuple[Any, ...]]", rows)
    ]


def stored(connection: Connection, customer: str, closed: ClosedPeriod) -> Stored:
    """A closed statement as it is kept."""
    rows = connection.execute(
        "select content, content_sha256 from ledger.statements where customer_id = %s and number = %s",
        (customer, closed.number),
    ).fetchall()
    ((content, digest),) = cast("list[tuple[str, str]]", rows)
    return Stored(closed, content, digest)


def append(
    connection: Connection, data: dict[str, Any], text: str, closed: ClosedPeriod, next_end_us: int
) -> None:
    """Append a statement; `text` is its canonical JSON."""
    connection.execute(
        "insert into ledger.statements (customer_id, number, currency, period_start_us, period_end_us,"
        " next_end_us, total, through_seq, content, content_sha256, early, author, reason, closed_at)"
        " values (%s, %s, %s, %s, %s, %s, %s::numeric, %s, %s, %s, %s, %s, %s, %s)",
        (
            data["customer"],
            closed.number,
            closed.currency,
            closed.start_us,
            closed.end_us,
            next_end_us,
            data["total"],
            data["through_seq"],
            text,
            sha256(text),
            data["early"],
            data["author"],
            data["reason"],
            data["closed_at"],
        ),
    )


def _atto(text: str | None) -> int | None:
    return None if text is None else atto(text)
