"""What PostgreSQL reads to answer: roll-ups and never single events; single events by an index."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pytest

from cli.ask import asked_of
from ledger.adapters.question_events import BY_SEQUENCE, BY_TIME
from ledger.adapters.question_sql import (
    Statement,
    costliest_statement,
    sums_statement,
    unpriced_statement,
)
from ledger.core.questions import Question, margin_question
from runtime.postgres import Connection, connect, migrate
from tests.fix_postgres import PostgresFixture
from tests.ledger_rows import NONE, Made, usd, write_rows

pytestmark = pytest.mark.postgres

MONTH = asked_of("2026-11-01", "2026-12-01", "UTC")
LOCAL = asked_of("2026-11-01", "2026-12-01", "Europe/Berlin", "day")
SUMS = {f"{name}_{grain}" for name in ("sums", "meter_sums") for grain in ("15m", "day", "month")}
ROLLUPS = SUMS | {"rollup_keys", "rollup_meter_keys", "queries"}

QUESTIONS = {
    "usage": sums_statement(Question(MONTH, ("customer", "plan", "status", "feature"))),
    "usage by meter": sums_statement(Question(LOCAL, ("meter",), (("model", ("one",)),))),
    "usage as of": sums_statement(Question(MONTH, ("model",), as_of=date(2026, 11, 15))),
    "margin": sums_statement(margin_question(Question(MONTH, ("product",)))),
    "concentration": sums_statement(Question(MONTH, ("customer",))),
    "queries": costliest_statement(MONTH, 10),
    "unpriced": unpriced_statement(Question(MONTH)),
}


@pytest.fixture
def connection(postgres: PostgresFixture) -> Iterator[Connection]:
    with connect(postgres.dsn) as opened:
        migrate(opened)
        made = Made()
        times = [f"2026-11-{day:02}T10:00:00Z" for day in range(1, 6)]
        write_rows(
            opened,
            [made.rated({"customer_id": "c", "at": at, "query_id": "q"}, usd("1"), NONE) for at in times],
        )
        yield opened


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def plan_of(connection: Connection, statement: Any, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    prefix = b"explain (format json) "
    text = statement.as_bytes(connection) if hasattr(statement, "as_bytes") else statement.encode()
    row = connection.execute(prefix + text, values).fetchone()
    assert row is not None
    plan: Any = row[0]
    return list(nodes(plan[0]["Plan"]))


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_over_a_month_reads_roll_ups_only(connection: Connection, name: str) -> None:
    statement: Statement = QUESTIONS[name]
    found = plan_of(connection, statement.text, statement.values)
    read = {node["Relation Name"] for node in found if "Relation Name" in node}
    assert read
    assert read <= ROLLUPS


def test_a_whole_month_in_utc_reads_months_only(connection: Connection) -> None:
    statement = QUESTIONS["concentration"]
    found = plan_of(connection, statement.text, statement.values)
    assert {node.get("Relation Name") for node in found} & SUMS == {"sums_month"}


@pytest.mark.parametrize(("text", "bound"), [(BY_SEQUENCE, "customer_seq"), (BY_TIME, "customer_id")])
def test_single_events_are_found_by_an_index(connection: Connection, text: str, bound: str) -> None:
    connection.execute("set enable_seqscan = off")  # five rows are read faster without one
    values = {
        "customer": "c",
        "query": "q",
        "first": 1,
        "last": 2,
        "since": date(2026, 11, 3),
        "from": MONTH.start_us,
        "to": MONTH.end_us,
    }
    found = plan_of(connection, text, values)
    scans = [node for node in found if "Relation Name" in node]
    assert {node["Relation Name"] for node in scans} == {"rated_20261103", "rated_20261104", "rated_20261105"}
    conditions = [str(node.get("Index Cond", "")) for node in found if "Index Cond" in node]
    assert conditions
    assert all(bound in condition for condition in conditions)
