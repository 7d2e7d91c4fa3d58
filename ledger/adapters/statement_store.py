"""Statements in PostgreSQL: made from the roll-ups, and closed.

A close, in one transaction:
1. lock the customer's row of ledger.customers, as the ledger does for each batch with rows of the customer:
   what it wrote is seen, and what it writes later sees the close and is posted to the next period;
2. take PostgreSQL's time, read the statements and the roll-ups;
3. refuse, or append the statement; commit.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue, UndefinedTable

from ledger.adapters.statement_rows import (
    Total,
    append,
    locked_progress,
    now_us,
    statements,
    stored,
    sums,
    totals,
)
from ledger.core.statement import (
    NO_TERMS,
    UNPRICED,
    ClosedPeriod,
    Facts,
    Known,
    Sum,
    Terms,
    Unpriced,
    currencies,
    draft,
    unpriced,
)
from ledger.core.statement_period import Period, Periods, State, against_closing
from ledger.core.statement_since import compared
from ledger.core.statement_text import canonical, sha256, statement_data, terms_of, unpriced_data
from pricing.cards import ALL, STATEMENT_TERMS, Contract
from pricing.compile import CompiledBook
from pricing.currencies import decimal_places
from pricing.instants import instant_text
from pricing.money import format_atto, parse_decimal
from rate_book.errors import NoBookError
from rate_book.kept import content_of, kept_version
from rate_book.shelf import read_rest
from rate_book.store import versions
from runtime.errors import FindingError, InfrastructureError, ReportedError
from runtime.postgres import Connection, connect

READER = "ratestream_ledger_reader"
Data = dict[str, Any]


class NotClosableError(FindingError):
    """The period cannot be closed now; the text says what must happen first."""


class UnpricedRemainsError(ReportedError):
    """Usage of the period has no price, or has one in part only: a re-rate has to price it."""

    exit_code = 4


class ContradictionError(FindingError):
    """What is stored contradicts itself: nothing is shown or closed on its word."""


class NoLedgerError(InfrastructureError):
    """The database has no ledger, or the login may not use it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose statement: of the month, or of the period that holds the instant; neither: of the open one."""

    customer: str
    month: str | None = None
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Who closes, and why. `early`: although events of the period may come. `late_us`: how long they may."""

    author: str
    reason: str
    early: bool
    late_us: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The period's statements, one a currency. `new`: this call closed them."""

    statements: list[Data]
    new: bool = False


@dataclass(frozen=True, slots=True)
class _Book:
    """What the newest version says of a customer."""

    version: int
    periods: Periods


def show(dsn: str, wanted: Wanted, *, role: str = READER) -> Answer:
    """The period as it was closed, else as it is now.

    Raises:
        ContradictionError: a stored statement does not have its hash, or the roll-ups do not agree.
        NoBookError: no rate book is stored.
        DatabaseUnavailableError: PostgreSQL is away.
    """
    with _reading(dsn, wanted.customer, role) as (connection, book):
        history = statements(connection, wanted.customer)
        period, closed = _wanted(connection, book, wanted, history)
        if closed:
            return Answer([_kept(connection, wanted.customer, one) for one in closed])
        return Answer(_made(connection, wanted.customer, book, period, history).data)


def compare(dsn: str, wanted: Wanted, *, role: str = READER) -> list[Data]:
    """Each closed statement of the period beside what the ledger holds of it now.

    Raises:
        NotClosableError: the period is not closed. Else as `show`.
    """
    customer = wanted.customer
    with _reading(dsn, customer, role) as (connection, book):
        history = statements(connection, customer)
        period, closed = _wanted(connection, book, wanted, history)
        if not closed:
            raise NotClosableError(f"{_named(customer, period)} is not closed: there is nothing to compare")
        start_us, end_us = closed[0].start_us, closed[0].end_us
        found = sums(connection, customer, start_us, end_us)
        later = sums(connection, customer, end_us, None)
        before = [one for one in history if one.start_us < start_us]
        known = _known(totals(connection, customer, end_us), start_us)
        answers = []
        for one in closed:
            kept = _kept(connection, customer, one)
            main, places = kept["terms"] is not None, kept["decimal_places"]
            facts = Facts(start_us, end_us, one.currency, main, places, one.terms, found, before, known)
            answers.append(compared(kept, facts, later))
        return answers


def close(
    dsn: str, wanted: Wanted, order: Close, *, behind: Callable[[Connection], str | None], role: str
) -> Answer:
    """Close the period; one that is closed is shown as it is.

    Args:
        dsn: of a login that may read the rate book and is a member of `role`.
        wanted: the period.
        order: who, and why.
        behind: what of usage.rated the ledger does not have, asked before anything is locked.
        role: as which the statement is written; "" for the login.

    Raises:
        UnpricedRemainsError: usage of the period is unpriced.
        NotClosableError: something else must happen first. Else as `show`.
    """
    customer = wanted.customer
    with _ledger(dsn) as connection:
        book = _book(connection, customer)
        _become(connection, role)
        missing = behind(connection)
        connection.commit()
        progress = locked_progress(connection, customer)  # 1
        at_us = now_us(connection)  # 2
        history = statements(connection, customer)
        period, closed = _wanted(connection, book, wanted, history)
        if closed:
            return Answer([_kept(connection, customer, one) for one in closed])
        made = _made(connection, customer, book, period, history)
        previous_us = history[-1].end_us if history else None
        owed_us = _owed(book, made, previous_us)
        state = State(at_us, order.late_us, order.early, progress.gap_seq, missing, previous_us, owed_us)
        _refuse(customer, made, against_closing(period, state))  # 3
        told = {
            "status": "closed",
            "through_seq": progress.contiguous_seq,
            "closed_at": instant_text(at_us),
            "early": order.early,
            "author": order.author,
            "reason": order.reason,
        }
        next_end_us = book.periods.at(period.end_us, period.end_us).end_us
        first = history[-1].number + 1 if history else 1
        for number, data in enumerate(made.data, start=first):
            del data["unpriced"]
            data.update(told, number=number)
            one = ClosedPeriod(number, *period[:2], data["currency"], terms_of(data["terms"]))
            text = canonical(data)
            append(connection, data, text, one, next_end_us)
            data["sha256"] = sha256(text)
        return Answer(made.data, new=True)


def _refuse(customer: str, made: "_Made", against: list[str]) -> None:
    where = _named(customer, made.period)
    if made.unpriced_events:
        first = next(iter(made.unpriced), None)
        told = f" ({first.provider} {first.model or ''} {first.meter}: {first.reason})" if first else ""
        reasons = [f"{made.unpriced_events} events are unpriced or priced in part{told}", *against]
        raise UnpricedRemainsError(f"{where} is not closed: {'; '.join(reasons)}")
    if not made.data:
        against.append("no contract is assigned and nothing was charged: there is nothing to state")
    if against:
        raise NotClosableError(f"{where} is not closed: {'; '.join(against)}")


@dataclass(frozen=True, slots=True)
class _Made:
    """Statements of a period as the ledger is now; `postings_us`: starts of the periods with postings."""

    period: Period
    data: list[Data]
    unpriced: list[Unpriced]
    unpriced_events: int
    postings_us: list[int]


def _made(
    connection: Connection, customer: str, book: _Book, period: Period, history: Sequence[ClosedPeriod]
) -> _Made:
    found = sums(connection, customer, period.start_us, period.end_us)
    so_far = totals(connection, customer, period.end_us)
    mine = [one for one in so_far if one.posting_start_us >= period.start_us]
    _check(_named(customer, period), found, mine)
    known = _known(so_far, period.start_us)
    contract, missing = period.contract, unpriced(found)
    data: list[Data] = []
    for currency in currencies(contract.currency if contract is not None else None, found):
        main = not data
        facts = Facts(
            period.start_us,
            period.end_us,
            currency,
            main,
            decimal_places(currency),
            _terms(contract) if contract is not None and main else NO_TERMS,
            found,
            history,
            known,
        )
        more = {
            "status": "open",
            "number": None,
            "contract": contract.contract_id if contract is not None else None,
            "book_version": book.version,
            "unpriced": unpriced_data(missing),
        }
        data.append(statement_data(customer, facts, draft(facts), **more))
    events = sum(one.events for one in mine if one.status in UNPRICED)
    return _Made(period, data, missing, events, sorted({one.posting_start_us for one in so_far}))


def _check(where: str, found: Sequence[Sum], mine: Sequence[Total]) -> None:
    """The roll-ups by meter and by record say the same amounts."""
    for currency in {one.currency for one in mine} | {item.currency for item in found}:
        by_meter = sum(item.amount or 0 for item in found if item.currency == currency)
        by_record = sum(one.amount for one in mine if one.currency == currency)
        if by_meter != by_record:
            told = f"{format_atto(by_meter)} {currency}, those by record to {format_atto(by_record)}"
            raise ContradictionError(f"{where}: the roll-ups by meter sum to {told}")


def _known(so_far: Sequence[Total], start_us: int) -> list[Known]:
    return [
        Known(one.service_start_us, one.currency, one.amount)
        for one in so_far
        if one.posting_start_us < start_us and one.currency is not None
    ]


def _owed(book: _Book, made: _Made, previous_us: int | None) -> int | None:
    """The start of an earlier period that has no statement and ought to: it has postings or a contract."""
    start_us = made.period.start_us
    posted = [at for at in made.postings_us if at < start_us and (previous_us is None or at >= previous_us)]
    if posted:
        return posted[0]
    at_us = start_us if previous_us is None else previous_us
    while at_us < start_us:
        period = book.periods.at(at_us, previous_us)
        if period.contract is not None:
            return period.start_us
        at_us = period.end_us
    return None


def _terms(contract: Contract) -> Terms:
    amounts = {name: getattr(contract, name) for name in STATEMENT_TERMS}
    return Terms(
        **{name: None if text is None else parse_decimal(text, name) for name, text in amounts.items()}
    )


def _wanted(
    connection: Connection, book: _Book, wanted: Wanted, history: Sequence[ClosedPeriod]
) -> tuple[Period, list[ClosedPeriod]]:
    """The period that is meant, and its statements where it is closed."""
    at_us = wanted.at_us
    if at_us is None:
        at_us = book.periods.named(wanted.month) if wanted.month is not None else now_us(connection)
    closed = [one for one in history if one.start_us <= at_us < one.end_us]
    if closed:
        return Period(closed[0].start_us, closed[0].end_us, None), closed
    return book.periods.at(at_us, history[-1].end_us if history else None), []


def _kept(connection: Connection, customer: str, closed: ClosedPeriod) -> Data:
    found = stored(connection, customer, closed)
    if not found.is_intact:
        raise ContradictionError(
            f"statement {closed.number} of {customer}: its content does not have the sha256"
            f" {found.content_sha256} that it was stored with"
        )
    data: Data = json.loads(found.content)
    return data | {"sha256": found.content_sha256}


def _named(customer: str, period: Period) -> str:
    return f"{customer} {instant_text(period.start_us)} to {instant_text(period.end_us)}"


def _book(connection: Connection, customer: str) -> _Book:
    """What the newest version says of the customer's periods; its cards are not read."""
    newest = next(iter(versions(connection, 1)), None)
    if newest is None:
        raise NoBookError("rate book: no version is stored; apply one with `ratestream book apply DIR`")
    kept = kept_version(connection, newest.version)
    content = content_of(connection, kept) if kept.root is None else read_rest(connection, kept.root)
    assignments = tuple(item for item in content.assignments if item.customer in (customer, ALL))
    content = replace(content, assignments=assignments)
    book = CompiledBook(content, newest.version, newest.content_hash)
    return _Book(newest.version, Periods(book, assignments, customer))


@contextmanager
def _reading(dsn: str, customer: str, role: str) -> Iterator[tuple[Connection, _Book]]:
    """All that is read is of one moment."""
    with _ledger(dsn) as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        book = _book(connection, customer)
        _become(connection, role)
        yield connection, book


@contextmanager
def _ledger(dsn: str) -> Iterator[Connection]:
    with connect(dsn, application_name="ratestream-statement") as connection:
        try:
            yield connection
        except (UndefinedTable, InsufficientPrivilege, InvalidParameterValue) as error:
            raise NoLedgerError(f"the ledger's tables: {error.diag.message_primary}") from error


def _become(connection: Connection, role: str) -> None:
    """The rate book is read as the login; the ledger as one of its roles."""
    if role:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
