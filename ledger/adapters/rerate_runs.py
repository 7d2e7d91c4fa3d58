"""Re-rate runs in ledger.runs: what was asked, each customer's cut, what the ledger has of it, the end."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from ledger.core.rerate import Span
from ledger.core.rerate_difference import Amount, summed
from runtime.errors import UsageProblemError
from runtime.postgres import Connection

_RUN_ID_BYTES = 8
# A run's rows: behind each customer's cut, by the index of sequences.
_ROWS = """
    from ledger.run_customers c
    join ledger.rated r on r.customer_id = c.customer_id and r.customer_seq > c.cut_seq
    where c.run_id = %(run)s and c.customer_id = any(%(customers)s)
      and starts_with(r.correction_id, %(run)s || '/')
"""
_SIDES = "sum(cost), cost_currency, sum(price), price_currency"


class Run(NamedTuple):
    """A stored run; `totals` are there once it is finished."""

    run_id: str
    asked: Mapping[str, Any]
    book_version: int
    author: str
    reason: str
    totals: Mapping[str, Any] | None


class Arrived(NamedTuple):
    """Records of others behind the cut, with event times in a run's periods: how many, and their sums."""

    records: int
    amounts: Mapping[Amount, int]


def find_run(connection: Connection, run_id: str) -> Run:
    """Raises UsageProblemError: there is no such run."""
    found = _runs(connection, "run_id = %s", run_id)
    if not found:
        raise UsageProblemError(f"run {run_id!r} is not in ledger.runs")
    return found[0]


def open_run(
    connection: Connection, asked: Mapping[str, Any], *, book_version: int, author: str, reason: str
) -> Run:
    """The unfinished run of these arguments, whoever began it, or a new one, committed."""
    text = json.dumps(asked, sort_keys=True)
    with connection.transaction():
        row = connection.execute(
            "select count(*) from ledger.runs where asked = %s::jsonb", (text,)
        ).fetchone()
        earlier = 0 if row is None else row[0]
        digest = blake2b(f"{text} {earlier}".encode(), digest_size=_RUN_ID_BYTES).hexdigest()
        connection.execute(
            "insert into ledger.runs (run_id, asked, book_version, author, reason)"
            " values (%s, %s, %s, %s, %s) on conflict do nothing",
            (f"rerate-{digest}", text, book_version, author, reason),
        )
    return _runs(connection, "asked = %s::jsonb and finished_at is null", text)[0]


def finish(connection: Connection, run_id: str, totals: Mapping[str, Any]) -> None:
    """Mark the run; one that is finished stays as it is."""
    with connection.transaction():
        connection.execute(
            "update ledger.runs set finished_at = clock_timestamp(), totals = %s"
            " where run_id = %s and finished_at is null",
            (json.dumps(totals), run_id),
        )


def cuts(connection: Connection, run_id: str) -> dict[str, int]:
    """The cut of each customer that the run has come to."""
    with connection.transaction():
        rows = connection.execute(
            "select customer_id, cut_seq from ledger.run_customers where run_id = %s", (run_id,)
        ).fetchall()
    return {str(customer): cast("int", cut) for customer, cut in rows}


def store_cut(connection: Connection, run_id: str, customer: str, cut_seq: int) -> int:
    """The customer's cut, committed: this one, or the one that was stored before."""
    with connection.transaction():
        connection.execute(
            "insert into ledger.run_customers values (%s, %s, %s) on conflict do nothing",
            (run_id, customer, cut_seq),
        )
        row = connection.execute(
            "select cut_seq from ledger.run_customers where run_id = %s and customer_id = %s",
            (run_id, customer),
        ).fetchone()
    return cut_seq if row is None else cast("int", row[0])


def applied(connection: Connection, run_id: str, customer: str) -> set[str]:
    """The correction ids of the run that the ledger has, of one customer."""
    with connection.transaction():
        rows = connection.execute(
            f"select r.correction_id {_ROWS} and r.leg = 'replacement'".encode(),
            {"run": run_id, "customers": [customer]},
        ).fetchall()
    return {str(row[0]) for row in rows}


def counts(connection: Connection, run_id: str, customers: Iterable[str]) -> dict[str, int]:
    """How many commands of the run the ledger has, by customer."""
    with connection.transaction():
        rows = connection.execute(
            f"select c.customer_id, count(*) {_ROWS} and r.leg = 'replacement' group by 1".encode(),
            {"run": run_id, "customers": list(customers)},
        ).fetchall()
    return {str(customer): cast("int", count) for customer, count in rows}


def realised(connection: Connection, run_id: str, customers: Sequence[str]) -> dict[Amount, int]:
    """What the run's records sum to in the ledger."""
    query = f"select {_SIDES} {_ROWS} group by cost_currency, price_currency"
    with connection.transaction():
        rows = connection.execute(query.encode(), {"run": run_id, "customers": list(customers)}).fetchall()
    return _sums(rows)


def arrived(connection: Connection, run_id: str, customer: str, spans: Sequence[Span]) -> Arrived:
    """What others wrote of the customer between the cut and the run's end, of these event times."""
    text = "{" + ",".join(f"[{start_us},{end_us})" for start_us, end_us in spans) + "}"
    query = f"""
        select {_SIDES}, count(*) from ledger.run_customers c
        join ledger.rated r on r.customer_id = c.customer_id and r.customer_seq > c.cut_seq
        where c.run_id = %(run)s and c.customer_id = any(%(customers)s)
          and not coalesce(starts_with(r.correction_id, %(run)s || '/'), false)
          and r.event_time_us <@ %(spans)s::int8multirange
          and r.customer_seq < (select max(r.customer_seq) {_ROWS})
        group by cost_currency, price_currency
    """  # noqa: S608 - constants
    with connection.transaction():
        rows = connection.execute(
            query.encode(), {"run": run_id, "customers": [customer], "spans": text}
        ).fetchall()
    return Arrived(sum(cast("int", row[-1]) for row in rows), _sums(rows))


def _sums(rows: Iterable[Sequence[object]]) -> dict[Amount, int]:
    told: list[tuple[str, str | None, int | None]] = []
    for cost, cost_currency, price, price_currency, *_ in rows:
        told.append(("cost", cast("str | None", cost_currency), _atto(cost)))
        told.append(("price", cast("str | None", price_currency), _atto(price)))
    return summed(told)


def _atto(amount: Any) -> int | None:
    """A numeric as PostgreSQL gives it, a Decimal with 18 places, exactly."""
    if amount is None:
        return None
    sign, digits, exponent = amount.as_tuple()
    value: int = int("".join(map(str, digits))) * 10 ** (18 + exponent)
    return -value if sign else value


def _runs(connection: Connection, where: str, value: str) -> list[Run]:
    query = f"select run_id, asked, book_version, author, reason, totals from ledger.runs where {where}"  # noqa: S608 - constants
    with connection.transaction():
        rows = connection.execute(query.encode(), (value,)).fetchall()
    return [Run(*cast("tuple[Any, ...]", row)) for row in rows]
