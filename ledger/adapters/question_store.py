"""Questions asked of the roll-ups, never of single events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from psycopg import sql
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue, UndefinedTable

from ledger.adapters.question_sql import costliest_statement, sums_statement, unpriced_statement
from ledger.core.amounts import atto
from ledger.core.questions import (
    COLUMNS,
    COST_STATUS,
    PRICE_STATUS,
    Question,
    Summed,
    Sums,
    Unpriced,
    unknown_dimension,
)
from ledger.core.questions_time import Asked
from runtime.errors import InfrastructureError
from runtime.postgres import Connection, connect

READER = "ratestream_ledger_reader"


class NoLedgerError(InfrastructureError):
    """The database has no ledger, or the login may not read it."""


class Costliest(NamedTuple):
    """A query in one currency; amounts times 10**18, instants in microseconds."""

    currency: str
    customer_id: str
    query_id: str
    calls: int
    cost: int
    price: int
    first_us: int
    last_us: int


@contextmanager
def reading(dsn: str, role: str = READER) -> Iterator[Connection]:
    """A connection that may only read the ledger, all questions seeing one state of it.

    Raises:
        NoLedgerError: there is none, or the login may not become its reader.
        DatabaseUnavailableError: PostgreSQL is away.
    """
    with connect(dsn, application_name="ratestream-question") as connection:
        try:
            if role:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            # The sums of a question are many and simple: compiling them costs more than it saves.
            connection.execute("set jit = off")
            connection.execute("set work_mem = '64MB'")
            connection.commit()
            connection.execute("set transaction isolation level repeatable read read only")
            yield connection
        except UndefinedTable as error:
            raise NoLedgerError(
                f"no ledger here: {error.diag.message_primary}; `ratestream ledger migrate` makes it"
            ) from error
        except (InsufficientPrivilege, InvalidParameterValue) as error:
            raise NoLedgerError(f"the ledger cannot be read: {error.diag.message_primary}") from error


def check_names(connection: Connection, question: Question) -> None:
    """Raises QuestionError: a dimension that no roll-up has; it names those that there are."""
    for name in (*question.by, *(name for name, _ in question.filters)):
        if name in COLUMNS or name in {COST_STATUS, PRICE_STATUS}:
            continue
        found = connection.execute(
            "select exists (select from ledger.rollup_keys where dimensions ? %s)", (name,)
        ).fetchone()
        if found != (True,):
            rows = connection.execute(
                "select distinct jsonb_object_keys(dimensions) from ledger.rollup_keys order by 1"
            ).fetchall()
            raise unknown_dimension(name, [str(known) for (known,) in rows])


def sums(connection: Connection, question: Question) -> list[Summed]:
    """The sums that were asked for, one for each period, group and pair of currencies.

    Raises:
        QuestionError: a dimension that no roll-up has.
    """
    check_names(connection, question)
    statement = sums_statement(question)
    width = len(question.group_columns)
    found = []
    for period, *rest in connection.execute(statement.text, statement.values).fetchall():
        group, (cost_currency, price_currency, *measures) = rest[:width], rest[width:]
        then = None if question.as_of is None else _sums(measures[4:])
        found.append(
            Summed(
                int(str(period)),
                tuple(group),  # type: ignore[arg-type]  # text columns
                cost_currency,  # type: ignore[arg-type]  # a text column
                price_currency,  # type: ignore[arg-type]  # the same
                _sums(measures[:4]),
                then,
            )
        )
    # What was corrected to nothing, and what the edges of a time take off again.
    return [row for row in found if not row.is_empty]


def unpriced(connection: Connection, question: Question) -> list[Unpriced]:
    """Usage whose line has no price, side by side, by provider, model, meter and reason."""
    check_names(connection, question)
    statement = unpriced_statement(question)
    found = []
    for row in connection.execute(statement.text, statement.values).fetchall():
        side, provider, model, meter, reason, events, quantity, *group = row
        found.append(
            Unpriced(
                str(side),
                tuple(group),  # type: ignore[arg-type]  # text columns
                str(provider),
                model,  # type: ignore[arg-type]  # a text column
                str(meter),
                str(reason),
                int(str(events)),
                None if quantity is None else atto(str(quantity)),
            )
        )
    return found


def costliest(
    connection: Connection, asked: Asked, top: int, customers: Sequence[str] = ()
) -> list[Costliest]:
    """The queries that cost most, in each currency; those whose first call is in the time asked about."""
    statement = costliest_statement(asked, top, customers)
    return [
        Costliest(
            str(currency),
            str(customer_id),
            str(query_id),
            int(str(calls)),
            atto(str(cost)),
            atto(str(price)),
            int(str(first_us)),
            int(str(last_us)),
        )
        for currency, customer_id, query_id, calls, cost, price, first_us, last_us in connection.execute(
            statement.text, statement.values
        ).fetchall()
    ]


def _sums(measures: Sequence[object]) -> Sums:
    events, cost, price, quantity = measures
    return Sums(
        int(str(events)), atto(str(cost)), atto(str(price)), None if quantity is None else atto(str(quantity))
    )
