"""The whole pipeline, each part under its own principal and role, over TLS."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pricing.budgets import Threshold
from rate_book.budgets.content import BudgetContent
from rate_book.budgets.store import apply_budgets
from rate_book.store import apply
from runtime.postgres import connect
from tests.fix_guard import budget
from tests.fix_rater import BOOK, wait_for
from tests.fix_secure import SecureStack

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS = 8
WAIT_S = 120
SERVICES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "rater": ("rater", {"rater__session_timeout_ms": 3_000}),
    "ledger": ("ledger", {}),
    "aggregator": ("aggregator", {"aggregator__publish_ms": 100}),
    "totals": ("aggregator.totals", {}),
    "guard": (
        "budget_guard",
        {
            "guard__session_timeout_ms": 2_000,
            "guard__commit_ms": 100,
            "channels__log__type": "log",
        },
    ),
}

# An event's price is 0.0045 USD, so eight are 0.036.
BUDGET = replace(
    budget(window="lifetime"),
    limit_atto=45 * 10**15,
    thresholds=(Threshold("80%", 36 * 10**15, share="80", action="hard", channels=("log",)),),
)


def cloud_event(number: int) -> dict[str, Any]:
    """As services publish it: 1000 input and 100 output tokens."""
    return {
        "specversion": "1.0",
        "type": "ai.usage.v1",
        "id": f"event-{number}",
        "source": "test",
        "subject": "customer-1",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": {
            "provider": "acme",
            "requested_model": "one",
            "usage_semantics": "inclusive",
            "usage": {"input_tokens": "1000", "output_tokens": "100"},
        },
    }


def publish(stack: SecureStack, directory: Path, numbers: range) -> None:
    """As the producer."""
    lines = directory / "events.jsonl"
    lines.write_text("".join(json.dumps(cloud_event(number)) + "\n" for number in numbers))
    assert stack.asked("producer", "emit", str(lines))["acknowledged"] == len(numbers)


@pytest.fixture
def running(secure_stack: SecureStack) -> Iterator[SecureStack]:
    """Book and budget applied by the operator, every service running."""
    secure_stack.applied()
    with connect(secure_stack.dsn("operator")) as connection:
        apply(connection, BOOK, author="test")
    with connect(secure_stack.dsn("operator")) as connection:
        apply_budgets(connection, BudgetContent((BUDGET,)), author="test")
    for principal, (module, settings) in SERVICES.items():
        secure_stack.start(principal, module, settings)
    yield secure_stack
    secure_stack.end()


def rows(stack: SecureStack, query: str) -> list[tuple[Any, ...]]:
    """What finance reads; nothing while a service has died."""
    for service in stack.running:
        assert service.exit_code is None, service.log()[-4000:]
    with psycopg.connect(stack.dsn("finance")) as connection:
        return connection.execute(query.encode()).fetchall()


def test_usage_is_rated_totalled_alerted_on_corrected_and_verified(
    running: SecureStack, tmp_path: Path
) -> None:
    publish(running, tmp_path, range(EVENTS))

    rated = "select count(*), sum(price) from ledger.rated"
    wait_for(lambda: rows(running, rated)[0][0] == EVENTS, "the ledger has what was rated", WAIT_S)
    assert str(rows(running, rated)[0][1]).rstrip("0") == "0.036"
    total = "select as_of_seq from totals.customers where customer_id = 'customer-1'"
    wait_for(lambda: rows(running, total) == [(EVENTS,)], "the sink has the totals", WAIT_S)
    alert = "select body->>'amount' from guard.alerts where kind = 'threshold'"
    wait_for(lambda: rows(running, alert) == [("0.036",)], "the alert is raised", WAIT_S)
    delivered = "select status from guard.deliveries"
    wait_for(lambda: ("delivered",) in rows(running, delivered), "the alert is delivered", WAIT_S)

    who = ("--author", "ops", "--reason", "test", "--apply")
    running.asked("operator", "void", "event-7", "--source", "test", "--customer", "customer-1", *who)
    retraction = "select count(*) from guard.alerts where kind = 'retraction'"
    wait_for(lambda: rows(running, retraction) == [(1,)], "the alert is retracted", WAIT_S)

    # A rater without its state restores it from its own log, with no more rights than before.
    rater = running.running.pop(0)
    assert rater.terminate() == 0
    shutil.rmtree(running.project_dir / ".ratestream" / "rater")
    running.start("rater", *SERVICES["rater"])
    publish(running, tmp_path, range(EVENTS + 1))  # all but the last are duplicates
    wait_for(lambda: rows(running, rated)[0][0] == EVENTS + 2, "the last event, and the reversal", WAIT_S)

    # Rows are changed by nobody, not even by their owner.
    with psycopg.connect(running.dsn("admin")) as owner:
        for statement in (
            "update ledger.rated set leg = leg",
            "delete from ledger.rated",
            "truncate ledger.rated",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation), owner.transaction(force_rollback=True):
                owner.execute(statement.encode())

    told = running.asked("finance", "verify")
    assert told["findings"] == [], told
    refused = running.command("finance", "void", "event-6", "--customer", "customer-1", *who)
    assert refused.returncode != 0
    assert rows(running, rated)[0][0] == EVENTS + 2
