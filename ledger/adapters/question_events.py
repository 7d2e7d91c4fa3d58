"""Single events for questions, always by an index: a query's by its first and last sequence, a customer's by
customer and day.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from ledger.core.questions_events import Elsewhere, QueryAnswer
from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.instants import day_of
from pricing.rate import rate
from rate_book.errors import NoBookError
from rate_book.store import load_compiled, versions
from rate_book.translate import call_of_event
from runtime.postgres import Connection
from schemas.codec import decode

_FETCH = 1_000  # records held at once
_AHEAD = timedelta(days=1)  # an event may lie a little after its record's append time
_ATTRIBUTE = "event."

BY_SEQUENCE = (
    "select record from ledger.rated where customer_id = %(customer)s and customer_seq between %(first)s and"
    " %(last)s and posted_day >= %(since)s and query_id = %(query)s order by customer_seq"
)
BY_TIME = (
    "select record from ledger.rated where customer_id = %(customer)s and posted_day >= %(since)s"
    " and event_time_us >= %(from)s and event_time_us < %(to)s"
)
_REVERSED = (
    "select source, event_id, revision from ledger.rated where customer_id = %(customer)s"
    " and posted_day >= %(since)s and event_time_us >= %(from)s and event_time_us < %(to)s"
    " and leg = 'reversal'"
)


class Target(NamedTuple):
    """Another model to price calls by; `context` takes the place of the calls' own where it is given, and so
    does the instant.
    """

    provider: str
    model: str
    context: Mapping[str, str] | None = None
    at_us: int | None = None


def customers_of(connection: Connection, query_id: str) -> list[str]:
    """Who has a query of this id: one look-up in an index a customer."""
    rows = connection.execute(
        "select c.customer_id from ledger.customers c cross join lateral (select from ledger.queries q"
        " where q.customer_id = c.customer_id and q.query_id = %s limit 1) found order by 1",
        (query_id,),
    ).fetchall()
    return [str(customer_id) for (customer_id,) in rows]


def query_answer(connection: Connection, customer_id: str, query_id: str) -> QueryAnswer | None:
    """The query with all its records; None where the customer has no such query."""
    row = connection.execute(
        "select min(first_seq), max(last_seq), min(first_event_time_us) from ledger.queries"
        " where customer_id = %s and query_id = %s",
        (customer_id, query_id),
    ).fetchone()
    if row is None or row[0] is None:
        return None
    first, last, first_us = (int(str(value)) for value in row)
    values = {
        "customer": customer_id,
        "query": query_id,
        "first": first,
        "last": last,
        "since": _since(first_us),
    }
    rows = connection.execute(BY_SEQUENCE, values).fetchall()
    return QueryAnswer(customer_id, query_id, tuple(_decoded(value) for (value,) in rows))


def standing_of(
    connection: Connection, customer_id: str, from_us: int, to_us: int
) -> Iterator[Mapping[str, Any]]:
    """The customer's records in a time that no correction took back, a few at a time."""
    values = {"customer": customer_id, "since": _since(from_us), "from": from_us, "to": to_us}
    taken_back = set(connection.execute(_REVERSED, values).fetchall())
    with connection.cursor(name="standing") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(f"{BY_TIME} and leg <> 'reversal'".encode(), values)
        for (value,) in cursor:
            record = _decoded(value)
            event = record["event"]
            if (event["source"], event["event_id"], record["rating"]["revision"] + 1) not in taken_back:
                yield record


def newest_book(connection: Connection, dsn: str) -> CompiledBook:
    """The newest version of the rate book. Raises NoBookError."""
    newest = versions(connection, 1)
    if not newest:
        raise NoBookError("rate book: no version is stored; `ratestream book apply` stores one")
    return load_compiled(connection, newest[0].version, dsn)


def elsewhere(book: CompiledBook, event: Mapping[str, Any], target: Target) -> Elsewhere:
    """What the event's usage would have cost on another model.

    The context of a call (tier, region ...) is its provider's: at another provider the call is priced without
    one unless `target` names it.
    """
    call = call_of_event(event, book.attributes)
    context = call.context
    if target.context is not None or event["provider"] != target.provider:
        own = {key: value for key, value in context.items() if key.startswith(_ATTRIBUTE)}
        context = own | dict(target.context or {})
    at_us = call.at_us if target.at_us is None else target.at_us
    moved = call._replace(
        customer_id=None,
        provider=target.provider,
        model=target.model,
        at_us=at_us,
        context=context,
        stated_cost=None,
    )
    try:
        rating = rate(book, moved)
    except UsageError as error:
        return Elsewhere("unpriced", None, None, ((error.field, f"{error.rule} ({error.code})"),))
    missing = tuple(
        dict.fromkeys((line.meter, line.explain) for line in rating.lines if line.status == "unpriced")
    )
    if rating.cost.status == "unpriced" and not missing:
        missing = (("", "no usage was reported"),)
    return Elsewhere(rating.cost.status, rating.cost.amount_atto, rating.cost.currency, missing)


def _since(first_us: int) -> date:
    return day_of(first_us) - _AHEAD


def _decoded(value: object) -> Mapping[str, Any]:
    if not isinstance(value, bytes):
        raise TypeError(f"ledger.rated.record: {type(value).__name__}, expected bytes")
    return decode("RatedUsage", value)
