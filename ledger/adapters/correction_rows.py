"""Records in ledger.rated as corrections need them: an event's by its key, a customer's by its sequence."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import cast

from ledger.core.correction import REVERSAL, History, LedgerRecord
from ledger.core.rerate import Asked, Span
from runtime.errors import FindingError
from runtime.postgres import Connection
from schemas.codec import decode
from schemas.errors import WireError

_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_FETCH = 500

# A record is current where nothing of its event has a higher revision; corrected events are looked up once.
_CUSTOMER = """
    select r.kafka_partition, r.kafka_offset, r.record,
           r.leg <> 'reversal' and r.revision = coalesce(c.top, 0) as current
    from ledger.rated r
    left join (
        select source, event_id, max(revision) as top from ledger.rated
        where customer_id = %(customer)s and revision > 0 and customer_seq <= %(cut)s
        group by source, event_id
    ) c using (source, event_id)
    where r.customer_id = %(customer)s and r.customer_seq <= %(cut)s and r.posted_day >= %(day)s
      and r.event_time_us <@ %(spans)s::int8multirange
    order by r.customer_seq
"""


def histories(
    connection: Connection, customer: str, event_id: str, source: str | None = None
) -> list[History]:
    """The events of that id, one for each source, by source.

    Raises:
        FindingError: a record cannot be decoded.
    """
    query = (
        "select kafka_partition, kafka_offset, record, source from ledger.rated"
        " where customer_id = %s and event_id = %s and (%s::text is null or source = %s)"
    )
    with connection.transaction():
        rows = connection.execute(query.encode(), (customer, event_id, source, source)).fetchall()
    found: dict[str, list[LedgerRecord]] = {}
    for partition, offset, value, whose in rows:
        record = _record(
            cast("int", partition), cast("int", offset), bytes(cast("bytes", value)), current=False
        )
        found.setdefault(str(whose), []).append(record)
    return [_with_current(found[name]) for name in sorted(found)]


def _with_current(records: list[LedgerRecord]) -> History:
    top = max(record.revision for record in records)
    return History.of(
        record._replace(current=record.revision == top and record.rating["leg"] != REVERSAL)
        for record in records
    )


def customers(connection: Connection, asked: Asked, names: Sequence[str]) -> list[str]:
    """Who has usage of that time, of those named or of all, by name: asked of the roll-ups."""
    bucket_us = asked.from_us - asked.from_us % (15 * 60 * 1_000_000)
    with connection.transaction():
        rows = connection.execute(
            "select customer_id from ledger.customers c"
            " where (%s::text[] = '{}' or customer_id = any(%s)) and exists (select from ledger.sums_15m s"
            " where s.customer_id = c.customer_id and bucket_us >= %s and bucket_us < %s)"
            " order by customer_id",
            (list(names), list(names), bucket_us, asked.to_us),
        ).fetchall()
    return [str(row[0]) for row in rows]


def cut_of(connection: Connection, customer: str) -> int:
    """Up to which sequence the ledger has everything of the customer.

    Raises:
        FindingError: a sequence is missing.
    """
    with connection.transaction():
        row = connection.execute(
            "select contiguous_seq, gap_seq from ledger.customers where customer_id = %s", (customer,)
        ).fetchone()
    if row is None:
        raise FindingError(f"customer {customer!r} is not in the ledger")
    contiguous, gap = row
    if gap is not None:
        raise FindingError(
            f"customer {customer!r}: sequence {gap} is missing in the ledger; see `ratestream verify`"
        )
    return cast("int", contiguous)


def records(
    connection: Connection, customer: str, cut_seq: int, spans: Sequence[Span]
) -> Iterator[LedgerRecord]:
    """The customer's records with event times in these spans, as they were at that sequence, in its order.

    They are fetched as they are read; the transaction lasts as long.

    Raises:
        FindingError: a record cannot be decoded, or rows of that time were taken out of the ledger.
    """
    day = _EPOCH + timedelta(days=min(start_us for start_us, _ in spans) // _DAY_US - 1)
    text = "{" + ",".join(f"[{start_us},{end_us})" for start_us, end_us in spans) + "}"
    with connection.transaction():
        _check_whole(connection, day)
        with connection.cursor(name="corrections") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(_CUSTOMER, {"customer": customer, "cut": cut_seq, "day": day, "spans": text})
            for partition, offset, value, current in cursor:
                yield _record(
                    cast("int", partition),
                    cast("int", offset),
                    bytes(cast("bytes", value)),
                    current=bool(current),
                )


def _check_whole(connection: Connection, day: date) -> None:
    row = connection.execute(
        "select max(posted_day) from ledger.detached where posted_day >= %s", (day,)
    ).fetchone()
    if row is not None and row[0] is not None:
        raise FindingError(
            f"ledger.rated: the rows posted on {row[0]} were detached, and what was rated from {day} on is "
            "needed: attach them again, or re-rate a later time"
        )


def _record(partition: int, offset: int, value: bytes, *, current: bool) -> LedgerRecord:
    try:
        rated = decode("RatedUsage", value)
    except WireError as error:
        raise FindingError(
            f"ledger.rated: usage.rated {partition} at {offset} is no RatedUsage: {error}; "
            "see `ratestream verify`"
        ) from error
    return LedgerRecord(partition, offset, value, rated["event"], rated["rating"], current)
