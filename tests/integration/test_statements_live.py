"""A statement of a running system: closed while raters and ledger are at work."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from ledger.adapters.statement_heads import behind
from ledger.adapters.statement_rows import position
from runtime.postgres import connect
from tests.fix_rater import Pipeline, usage_event, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

CUSTOMER = "customer-1"


def last_month() -> tuple[str, int]:
    """The month before this one, and an instant of its last day, in microseconds."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = first - timedelta(hours=1)
    return last.strftime("%Y-%m"), int(last.timestamp()) * 1_000_000


def run(pipeline: Pipeline, *arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "statement", CUSTOMER, "--json", *arguments],
        env=pipeline.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def rows(pipeline: Pipeline) -> int:
    with connect(pipeline.dsn) as connection:
        found = connection.execute("select count(*) from ledger.rated").fetchone()
    return int(str((found or (0,))[0]))


def test_a_month_is_closed_once_the_ledger_has_it_and_what_comes_later_is_a_difference(
    pipeline: Pipeline,
) -> None:
    """An event is 1000 x 3 / 1,000,000 + 100 x 15 / 1,000,000 = 0.0045 USD: two are 0.009, rounded 0.01."""
    month, at_us = last_month()
    pipeline.emit([usage_event(1, number, event_time_us=at_us) for number in range(2)])
    pipeline.start()
    pipeline.wait_drained()
    with connect(pipeline.dsn) as connection:
        told = behind(pipeline.settings, CUSTOMER, partial(position, connection), wait_s=0)
    assert told is not None
    assert "usage.rated" in told
    assert "from offset 0 up to" in told
    pipeline.start(module="ledger")
    closing = ("--period", month, "--close", "--author", "jo", "--reason", "month end")
    code, told = run(pipeline, *closing)
    assert (code, "may come until" in told) == (1, True)
    code, closed = run(pipeline, *closing, "--early")  # waits until the ledger has passed the end
    assert (code, closed["new"]) == (0, True)
    assert closed["statements"][0]["sum"] == "0.009"
    assert closed["statements"][0]["total"] == "0.01"
    assert closed["statements"][0]["through_seq"] == 2
    pipeline.emit([usage_event(1, 2, event_time_us=at_us), usage_event(1, 3)])
    wait_for(lambda: rows(pipeline) == 4, "the ledger has the late event")
    code, shown = run(pipeline)
    lines = [(one["kind"], one["amount"], one["statement"]) for one in shown["statements"][0]["lines"]]
    assert code == 0
    assert lines == [
        ("usage", "0.003", None),
        ("usage", "0.0015", None),
        ("difference", "0.003", 1),
        ("difference", "0.0015", 1),
        ("rounding", "0.001", None),
    ]
    code, found = run(pipeline, "--period", month, "--compare")
    assert (code, found["compared"][0]["unaltered"], found["compared"][0]["since_sum"]) == (0, True, "0.0045")
