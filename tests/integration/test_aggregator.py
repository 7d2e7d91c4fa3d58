"""Frames in, totals out, against a real broker and a real ledger."""

import asyncio
from contextlib import closing

import pytest

from aggregator.adapters.ledger import Ledger
from rate_book.ledger_totals import LedgerMissingError
from runtime.postgres import DatabaseUnavailableError
from tests.fix_aggregator import HOUR_US, MONTH, NOON_US, AggregatorRun, frame, frame_row
from tests.fix_postgres import PostgresFixture

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

A = "customer-1"


def test_frames_become_totals(aggregators: AggregatorRun) -> None:
    process = aggregators.start()
    partition = aggregators.partition(A)
    aggregators.emit(frame(1, partition, {A: (1, 2, [frame_row(events=2)])}))
    aggregators.wait_seq({A: 2})
    later = frame_row(bucket_us=NOON_US + HOUR_US)
    aggregators.emit(frame(2, partition, {A: (3, 3, [later])}))
    totals = aggregators.wait_seq({A: 3})[A]
    # 0.003 for both events of the first row, and 0.003 of the later one.
    costs = {
        (entry["window"], entry["start_us"]): (entry["cost"], entry["price"], entry["events"])
        for entry in totals["entries"]
    }
    day, week = NOON_US - 12 * HOUR_US, NOON_US - 60 * HOUR_US
    assert costs == {
        ("hour", NOON_US): ("0.003", "0.0045", 2),
        ("hour", NOON_US + HOUR_US): ("0.003", "0.0045", 1),
        ("day", day): ("0.006", "0.009", 3),
        ("week", week): ("0.006", "0.009", 3),
        ("period", MONTH[0]): ("0.006", "0.009", 3),
        ("lifetime", 0): ("0.006", "0.009", 3),
    }
    assert (totals["zone"], totals["as_of_us"]) == ("UTC", NOON_US + 2)
    assert process.terminate() == 0
    assert "Traceback" not in process.log()


def test_requests_wait_for_a_database_that_has_none_of_them_or_is_away(postgres: PostgresFixture) -> None:
    away = "host=127.0.0.1 port=1 dbname=nothing user=nobody"
    for dsn, error in ((postgres.dsn, LedgerMissingError), (away, DatabaseUnavailableError)):
        with closing(Ledger(dsn)) as ledger:
            for question in (ledger.requests(), ledger.taken([A])):
                with pytest.raises(error):
                    asyncio.run(question)
