"""`verify` over a real ledger: a sound one has no finding, and each break that is planted has its own."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from runtime.postgres import connect
from schemas import topics
from tests.fix_rater import Pipeline, usage_event, wait_for
from tests.integration.test_verify import verify

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

EVENTS = 60

# Check, table, what is planted, and how it is mended.
QUICK = (
    ("ledger_customer", "customers", "last_seq = last_seq + 1", "last_seq = last_seq - 1"),
    (
        "ledger_gap",
        "customers",
        "gap_seq = contiguous_seq + 1, last_seq = last_seq + 9",
        "gap_seq = null, last_seq = last_seq - 9",
    ),
    ("ledger_rollup", "sums_15m", "cost = cost + 1e-18", "cost = cost - 1e-18"),
    ("ledger_rollup", "sums_day", "events = events + 1", "events = events - 1"),
    ("ledger_rollup", "sums_month", "price = price + 1", "price = price - 1"),
    ("ledger_rollup", "meter_sums_15m", "price = price + 1", "price = price - 1"),
    ("ledger_rollup", "meter_sums_day", "events = events + 1", "events = events - 1"),
    ("ledger_position", "positions", "next_offset = next_offset + 999", "next_offset = next_offset - 999"),
)


def taken_over(pipeline: Pipeline, extra: Callable[[], None] | None = None) -> None:
    """60 events of 7 customers, in 20 queries, and a reject, rated and in the ledger; nobody runs after."""
    events = [usage_event(number % 7, number, query_id=f"q{number % 20}") for number in range(EVENTS)]
    pipeline.emit(events)
    pipeline.emit_raw([(b"customer-1", b"no event")])
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.terminate()
    if extra is not None:
        extra()
    sink = pipeline.start(module="ledger")
    wait_for(lambda: rows(pipeline, "rated") == EVENTS, "every record is a row")
    wait_for(lambda: rows(pipeline, "rejected") == 1, "the reject is a row")
    sink.terminate()


def rows(pipeline: Pipeline, table: str) -> int:
    with connect(pipeline.dsn) as connection:
        found = connection.execute(f"select count(*) from ledger.{table}".encode()).fetchone()  # noqa: S608 - a constant of the test
    return int(str(found[0])) if found is not None else 0


def spoil(pipeline: Pipeline, statement: str) -> None:
    """Do as the owner what no trigger lets pass."""
    with connect(pipeline.dsn) as connection:
        tables = connection.execute(
            "select c.oid::regclass::text from pg_class c join pg_trigger t on t.tgrelid = c.oid"
            " where relnamespace = 'ledger'::regnamespace and not tgisinternal group by 1 order by 1"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f"alter table {table} disable trigger user".encode())
        connection.execute(statement.encode())


def found(pipeline: Pipeline, *arguments: str) -> set[str]:
    code, report = verify(pipeline, *arguments)
    assert code == (1 if report["findings"] else 0)
    assert report["verified"] is (not report["findings"])
    return set(report["finding_counts"])


def details(report: dict[str, Any], check: str) -> list[str]:
    return [one["detail"] for one in report["findings"] if one["check"] == check]


def test_without_a_ledger_that_is_said_and_is_no_finding(pipeline: Pipeline) -> None:
    pipeline.emit([usage_event(1, 1)])
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.terminate()
    for arguments in ((), ("--quick",)):
        code, report = verify(pipeline, *arguments)
        assert (code, report["ledger"]["present"]) == (0, False)
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify", "--quick"],
        env=pipeline.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "there is no ledger" in done.stdout) == (0, True), done.stderr


def test_a_sound_ledger_is_verified_and_how_far_it_is_behind_is_told(pipeline: Pipeline) -> None:
    taken_over(pipeline)
    for arguments in (("--quick",), (), ("--complete",), ("--quick", "--partition", "1")):
        code, report = verify(pipeline, *arguments)
        assert (code, report["findings"]) == (0, []), report
        ledger = report["ledger"]
        assert (ledger["present"], ledger["rows"], ledger["rejected"]) == (True, EVENTS, 1)
        assert (ledger["behind"], ledger["bad_records"]) == (0, 0)
    pipeline.emit([usage_event(1, 1000), usage_event(1, 1001)])
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.terminate()
    code, report = verify(pipeline, "--quick")
    assert (code, report["ledger"]["behind"]) == (0, 2)


def test_what_counts_and_sums_show(pipeline: Pipeline) -> None:
    """Each break is mended before the next is planted."""
    taken_over(pipeline)
    for check, table, plant, mend in QUICK:
        spoil(pipeline, f"update ledger.{table} set {plant}")  # noqa: S608 - constants of above
        assert check in found(pipeline, "--quick"), plant
        spoil(pipeline, f"update ledger.{table} set {mend}")  # noqa: S608 - the same
    assert found(pipeline, "--quick") == set()


def test_a_row_that_is_gone_or_too_many_is_found_by_every_depth(pipeline: Pipeline) -> None:
    taken_over(pipeline)
    of = "ledger.rated where customer_id = 'customer-3' and customer_seq = 2"
    spoil(pipeline, f"create table kept as select * from {of}")  # noqa: S608 - a constant of above
    spoil(pipeline, f"delete from {of}")  # noqa: S608 - the same
    code, report = verify(pipeline, "--quick")
    assert code == 1
    assert {"ledger_missing", "ledger_sequences", "ledger_rollup"} <= set(report["finding_counts"])
    assert "customer 'customer-3'" in details(report, "ledger_sequences")[0]
    assert "ledger_count" in found(pipeline)
    spoil(pipeline, "insert into ledger.rated select * from kept")
    assert found(pipeline) == set()
    spoil(pipeline, "update kept set kafka_offset = 900, customer_seq = 900, event_id = 'planted'")
    spoil(pipeline, "insert into ledger.rated select * from kept")
    assert {"ledger_beyond", "ledger_customer", "ledger_extra"} <= found(pipeline, "--quick")


def test_a_bad_record_is_a_finding_and_no_lost_row(pipeline: Pipeline) -> None:
    taken_over(
        pipeline,
        lambda: pipeline.emit_raw([(b"customer-1", b"rubbish")], topic=topics.USAGE_RATED, partition=0),
    )
    wait_for(lambda: rows(pipeline, "bad_records") == 1, "the bad record is kept")
    assert found(pipeline, "--quick") == {"ledger_bad_record"}
