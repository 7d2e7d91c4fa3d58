"""`verify` over a real ledger: a sound one has no finding, and each break that is planted has its own."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from runtime.postgres import connect
from schemas import topics
from tests.fix_rater import Pipeline, usage_event, wait_for
from tests.integration.test_verify import verify

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

EVENTS = 60

# Check, what its finding names, and what is planted: a statement for the table's rows.
QUICK = (
    ("ledger_customer", "'customer-1' column last_seq", "customers set last_seq = last_seq + 1", 1),
    (
        "ledger_gap",
        "'customer-2' sequence",
        "customers set gap_seq = contiguous_seq + 1, last_seq = last_seq + 9",
        2,
    ),
    ("ledger_rollup", "(cost in USD, price in USD) column cost", "sums_15m set cost = cost + 1e-18", 3),
    ("ledger_rollup", "column events", "sums_day set events = events + 1", 3),
    ("ledger_grain", "column price", "sums_month set price = price + 1", 3),
    ("ledger_grain", "column price", "meter_sums_15m set price = price + 1", 3),
    ("ledger_grain", "column cost", "meter_sums_day set cost = cost + 1", 3),
    ("ledger_grain", "column events", "meter_sums_month set events = events + 1", 3),
    ("ledger_position", "stable log ends", "positions set next_offset = next_offset + 999", None),
)
COMPLETE = (
    (
        "ledger_row",
        "column feature: the ledger has planted, expected none",
        "rated set feature = 'planted'",
        1,
    ),
    ("ledger_row", "column cost", "rated set cost = cost + 1e-18", 2),
    ("ledger_row", "column event_time", "rated set event_time = event_time + interval '1 us'", 2),
    ("ledger_row", "column posted_at", "rated set posted_at = posted_at + interval '1 us'", 2),
    ("ledger_posting", "column posting_end_us", "rated set posting_end_us = posting_end_us + 1", 3),
    ("ledger_record", "column posted_at", "rated set posted_at = posted_at + interval '1 ms'", 4),
    ("ledger_record", "column kafka_offset", "rated set kafka_offset = kafka_offset + 1", 5),
    ("ledger_record", "column record", "rated set record = record || '\\x00'", 6),
    ("ledger_row", "column record", "rated set record = record || '\\x00'", 6),
    ("ledger_record", "column reason", "rejected set reason = 'planted'", None),
    ("ledger_query", "query 'q1' currency 'USD' column cost", "queries set cost = cost + 1", 1),
    ("ledger_rollup", "column quantity", "meter_sums_15m set quantity = quantity + 1", 4),
    ("ledger_grain", "column quantity", "meter_sums_month set quantity = quantity + 1", 5),
    ("ledger_grain", "column events", "sums_day set bucket_us = bucket_us - 86400000000", 6),
    ("ledger_rollup", "key", "rollup_keys set provider = 'planted'", None),
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


def planted(pipeline: Pipeline, plants: Sequence[tuple[str, str, str, int | None]]) -> None:
    for _, _, change, customer in plants:
        where = "" if customer is None else f" where customer_id = 'customer-{customer}'"
        if change.startswith("rated "):  # one row of the customer: few findings of a kind are kept
            where += " and customer_seq = 1"
        spoil(pipeline, f"update ledger.{change}{where}")


def check_found(report: dict[str, Any], plants: Sequence[tuple[str, str, str, int | None]]) -> None:
    for check, named, change, _ in plants:
        table = f"ledger.{change.split()[0]}"
        found = [one for one in report["findings"] if one["check"] == check and named in one["detail"]]
        if check in {"ledger_rollup", "ledger_grain"}:
            found = [one for one in found if one["where"] == table]
        assert found, (change, report["findings"])


def test_what_counts_and_sums_show(pipeline: Pipeline) -> None:
    taken_over(pipeline)
    planted(pipeline, QUICK)
    code, report = verify(pipeline, "--quick")
    assert code == 1
    check_found(report, QUICK)


def test_what_only_single_rows_show(pipeline: Pipeline) -> None:
    taken_over(pipeline)
    planted(pipeline, COMPLETE)
    spoil(
        pipeline, "create table kept as select * from ledger.rated where customer_id = 'customer-0' limit 1"
    )
    spoil(pipeline, "update kept set posted_day = posted_day + 1")
    spoil(pipeline, "insert into ledger.rated select * from kept")
    code, report = verify(pipeline, "--complete")
    assert code == 1
    check_found(report, COMPLETE)
    assert "customer 'customer-0' sequence" in details(report, "ledger_twice")[0]


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
