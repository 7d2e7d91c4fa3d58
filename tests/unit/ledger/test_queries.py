"""Queries whose calls are paid for by a root event that has not come."""

from typing import Any

import pytest

from cli.verify import describe
from ledger.core.findings import Findings
from ledger.core.model import RatedRecord
from ledger.core.queries import WAIT_US, OpenQueries, QueriesWithoutRoot, QueryWithoutRoot
from ledger.core.report import Report
from ledger.core.totals import Totals
from tests.unit.ledger.world import event, rated, sound

HOUR_US = 3_600_000_000


def record(query: str | None, status: str = "included", *, customer: str = "a", **fields: Any) -> RatedRecord:
    made = rated(event(customer, 1, query_id=query, usage={"tokens": "1"}) | fields, 1, 0)
    return RatedRecord(
        made.offset,
        made.key,
        made.value,
        made.has_headers,
        made.event,
        {**made.rating, "lines": [{"side": "price", "status": status}]},
    )


def root(query: str, quantity: str = "1", customer: str = "a") -> RatedRecord:
    return record(query, "priced", customer=customer, usage={"queries": quantity})


def listed(
    *records: tuple[RatedRecord, int], now_us: int = 10 * HOUR_US, **limits: int
) -> QueriesWithoutRoot:
    found = QueriesWithoutRoot()
    queries = OpenQueries(found, **limits)
    for it, at_us in records:
        queries.follow(it, at_us)
    queries.finish(now_us)
    return found


def test_calls_without_a_root_are_listed_an_hour_after_the_last_one() -> None:
    calls = ((record("q"), 5), (record("q"), 7))
    assert WAIT_US == HOUR_US
    assert listed(*calls, now_us=HOUR_US + 6).count == 0
    assert listed(*calls, now_us=HOUR_US + 7).first == [QueryWithoutRoot("a", "q", 2, 7)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_root_before_or_after_its_calls_settles_them(order: tuple[int, int]) -> None:
    both = ((record("q"), 1), (root("q"), 2))
    assert listed(*(both[at] for at in order)).count == 0


def test_a_root_settles_its_own_customer_s_query_only() -> None:
    found = listed((record("q"), 1), (record("r"), 1), (root("q", customer="b"), 2), (root("r"), 2))
    assert [it.query_id for it in found.first] == ["q"]


@pytest.mark.parametrize("quantity", ["0", "no number"])
def test_a_root_of_no_query_is_none(quantity: str) -> None:
    assert listed((record("q"), 1), (root("q", quantity), 2)).count == 1


def test_calls_that_are_paid_for_themselves_and_calls_of_no_query_are_not_listed() -> None:
    assert listed((record("q", "priced"), 1), (record(None), 1), (record(""), 1)).count == 0


def test_the_first_are_kept_and_all_are_counted() -> None:
    found = listed(*((record(f"q{number}"), 1) for number in range(25)))
    assert (found.count, len(found.first), found.exact) == (25, 20, True)


def test_memory_is_bounded_and_the_result_says_so() -> None:
    """The oldest open ones are listed as they go where their hour is over, and let go where it is not."""
    calls = [(record(f"q{number}"), number * HOUR_US) for number in range(6)]
    found = listed(*calls, open_max=2)
    assert (found.count, found.exact) == (6, False)
    found = listed(*[(it, 1) for it, _ in calls], open_max=2)
    assert (found.count, found.exact) == (2, False)
    found = listed((root("q"), 1), (root("r"), 1), (root("s"), 1), (record("q"), 2), roots_max=2)
    assert (found.count, found.exact) == (1, False)


def test_the_report_lists_them_and_is_verified_all_the_same() -> None:
    """The world's append times end at 10 ms: its own hour is over after that."""
    world = sound()
    world.rated[0] = record("q")
    world.frames[1]["highest_append_us"] = world.head["highest_append_us"] = 5000 + HOUR_US
    world.run()
    report = Report(Findings(), Totals(), [], world.queries)
    assert report.verified
    assert report.as_json()["queries_without_root"] == {
        "count": 1,
        "first": [{"customer_id": "a", "query_id": "q", "calls": 1, "last_call_us": 5000}],
        "exact": True,
    }
    text = describe(report)
    assert "queries     1 have included calls, but no root event an hour after the last one" in text
    assert "  customer 'a' query 'q': 1 call" in text
    assert "queries" not in describe(Report(Findings(), Totals(), []))
