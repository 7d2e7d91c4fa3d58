"""Questions over a few rows in a real PostgreSQL, the answers by hand."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from cli.__main__ import ratestream
from rate_book.store import apply
from runtime.postgres import Connection, connect, migrate
from tests.fix_postgres import PostgresFixture
from tests.fix_rater import BOOK
from tests.ledger_rows import NONE, Made, line, usd, write_rows

pytestmark = pytest.mark.postgres

INCLUDED = {"status": "included", "amount": None, "currency": None}


@dataclass
class Asking:
    """The command line over a database of a test's own."""

    connection: Connection
    made: Made

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.text(*words, "--json", code=code))

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json(*words, code=code)["rows"]
        return found

    def text(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(ratestream, words, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        assert (result.return_value or 0) == code
        return result.stdout


@pytest.fixture
def asking(postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    monkeypatch.setenv("RATESTREAM_POSTGRES__DSN", postgres.dsn)
    with connect(postgres.dsn) as connection:
        migrate(connection)
        yield Asking(connection, Made())


NOVEMBER = ("--from", "2026-11-01", "--to", "2026-12-01")


def event(customer: str, at: str, **fields: object) -> dict[str, object]:
    return {"customer_id": customer, "at": at, "product": "search", "feature": "ask"} | fields


def lines(cost: str, price: str) -> tuple[dict[str, Any], ...]:
    return (
        line("cost", "input_tokens", "1000", cost),
        line("price", "input_tokens", "1000", price),
    )


def test_usage_by_dimension_with_money_apart_by_currency(asking: Asking) -> None:
    made = asking.made
    write_rows(
        asking.connection,
        [
            made.rated(event("acme", "2026-11-02T10:00:00Z"), usd("0.1"), usd("0.3"), lines("0.1", "0.3")),
            made.rated(event("acme", "2026-11-03T10:00:00Z"), usd("0.2"), usd("0.3"), lines("0.2", "0.3")),
            made.rated(event("acme", "2026-11-03T10:00:00Z"), usd("0.2"), usd("0.5", currency="EUR")),
            made.rated(event("bolt", "2026-11-03T10:00:00Z", product="code"), usd("0.4"), NONE),
            made.rated(event("bolt", "2026-12-01T00:00:00Z", product="code"), usd("9"), NONE),
        ],
    )
    found = asking.rows("usage", "--by", "customer,product", *NOVEMBER)
    assert [tuple(row.values()) for row in found] == [
        ("bolt", "code", "USD", None, 1, "0.4", None),
        ("acme", "search", "USD", "USD", 2, "0.3", "0.6"),
        ("acme", "search", "USD", "EUR", 1, "0.2", "0.5"),
    ]
    columns = ["customer", "product", "cost_currency", "price_currency", "events", "cost", "price"]
    assert list(found[0]) == columns
    (row,) = asking.rows("usage", "--by", "meter", "--customer", "acme", *NOVEMBER)
    assert row == {
        "meter": "input_tokens",
        "cost_currency": "USD",
        "price_currency": "USD",
        "events": 2,
        "quantity": "2000",
        "cost": "0.3",
        "price": "0.6",
    }
    table = list(csv.reader(io.StringIO(asking.text("usage", "--where", "product=code", *NOVEMBER, "--csv"))))
    assert table == [
        ["cost_currency", "price_currency", "events", "cost", "price"],
        ["USD", "", "1", "0.4", ""],
    ]


def test_local_days_are_exact_over_a_change_of_the_clock(asking: Asking) -> None:
    # In Berlin 2026-10-25 lasts from 2026-10-24T22:00Z to 2026-10-25T23:00Z.
    made = asking.made
    times = {
        "2026-10-24T21:59:59Z": "0.001",  # the 24th
        "2026-10-24T22:00:00Z": "0.01",
        "2026-10-25T22:59:59Z": "0.1",
        "2026-10-25T23:00:00Z": "1",  # the 26th
    }
    write_rows(
        asking.connection, [made.rated(event("acme", at), usd(cost), NONE) for at, cost in times.items()]
    )
    found = asking.rows(
        "usage", "--every", "day", "--tz", "Europe/Berlin", "--from", "2026-10-24", "--to", "2026-10-27"
    )
    assert [(row["period"], row["cost"]) for row in found] == [
        ("2026-10-24T00:00:00+02:00", "0.001"),
        ("2026-10-25T00:00:00+02:00", "0.11"),
        ("2026-10-26T00:00:00+01:00", "1"),
    ]
    months = asking.rows(
        "usage", "--every", "month", "--tz", "Asia/Tokyo", "--from", "2026-10-01", "--to", "2026-12-01"
    )
    assert [(row["period"], row["cost"]) for row in months] == [("2026-10-01T00:00:00+09:00", "1.111")]


def test_as_known_then_and_now_from_one_query(asking: Asking) -> None:
    made = asking.made
    first = made.rated(event("acme", "2026-11-02T10:00:00Z"), usd("1"), usd("3"))
    taken = made.reversal(first, posted="2026-11-10T00:00:00Z")
    late = made.rated(
        event("acme", "2026-11-02T11:00:00Z"), usd("7"), usd("7"), posted="2026-12-03T00:00:00Z"
    )
    write_rows(asking.connection, [first])
    write_rows(
        asking.connection,
        [taken, made.replacement(taken, usd("2"), usd("3"), posted="2026-11-10T00:00:00Z"), late],
    )
    expected = {
        "2026-11-01": (0, "0", "0"),
        "2026-11-09": (1, "1", "3"),
        "2026-11-10": (1, "2", "3"),
        "2026-11-30": (1, "2", "3"),
        "2026-12-02": (1, "2", "3"),
        "2026-12-03": (2, "9", "10"),
        "2026-12-31": (2, "9", "10"),
    }
    # A UTC month, a local one, and hours: made of sums of every grain.
    for words in ((), ("--tz", "Europe/Berlin"), ("--every", "hour")):
        for day, then in expected.items():
            found = asking.rows("usage", "--as-of", day, *words, *NOVEMBER)
            assert sum(row["events_then"] for row in found) == then[0], (words, day)
            assert sum(row["events"] for row in found) == 2
            if not words:
                (row,) = found
                assert (row["events_then"], row["cost_then"], row["price_then"]) == then
                assert (row["cost"], row["price"]) == ("9", "10")


def test_what_was_voided_is_no_row(asking: Asking) -> None:
    first = asking.made.rated(event("acme", "2026-11-02T10:00:00Z"), usd("1"), usd("3"), lines("1", "3"))
    write_rows(asking.connection, [first, asking.made.reversal(first, posted="2026-11-10T00:00:00Z")])
    assert asking.rows("usage", "--by", "customer", *NOVEMBER) == []
    assert asking.rows("usage", "--by", "meter", *NOVEMBER) == []
    assert asking.rows("margin", *NOVEMBER) == []


def test_margin_within_one_currency_and_all_else_apart(asking: Asking) -> None:
    made, at = asking.made, "2026-11-02T10:00:00Z"
    write_rows(
        asking.connection,
        [
            made.rated(event("acme", at), usd("1"), usd("4")),
            made.rated(event("acme", at), usd("2"), usd("4", "partial")),
            made.rated(event("acme", at), usd("0.5", "partial"), usd("3", "partial")),
            made.rated(event("acme", at), usd("0.25", "partial"), usd("2")),
            made.rated(event("acme", at), usd("5"), usd("6", currency="EUR")),
            made.rated(event("acme", at), usd("7"), INCLUDED),
            made.rated(event("acme", at), usd("8"), NONE),
            made.rated(event("acme", at), NONE, usd("9")),
        ],
    )
    found = asking.rows("margin", "--by", "customer", *NOVEMBER)
    shown = ("events", "cost", "price", "margin", "margin_percent", "apart")
    assert [tuple(row[name] for name in shown) for row in found] == [
        (1, "1", "4", "3", "75", None),
        (1, "8", None, None, None, "price unpriced"),
        (1, "7", None, None, None, "price included"),
        (1, "5", "6", None, None, "price in another currency"),
        (1, "2", "4", None, None, "price in part only"),
        (1, "0.5", "3", None, None, "cost and price in part only"),
        (1, "0.25", "2", None, None, "cost in part only"),
        (1, None, "9", None, None, "no cost"),
    ]


def test_the_customers_that_make_80_percent_of_the_cost(asking: Asking) -> None:
    made, at = asking.made, "2026-11-02T10:00:00Z"
    costs = {"a": "50", "b": "30", "c": "15", "d": "5"}
    write_rows(
        asking.connection, [made.rated(event(name, at), usd(cost), NONE) for name, cost in costs.items()]
    )
    answer = asking.json("concentration", *NOVEMBER)
    assert [(row["customer"], row["share_percent"], row["summed_percent"]) for row in answer["rows"]] == [
        ("a", "50", "50"),
        ("b", "30", "80"),
    ]
    assert (answer["USD_customers"], answer["USD_customers_in_all"], answer["USD_total"]) == (2, 4, "100")


def test_unpriced_usage_with_its_reason(asking: Asking) -> None:
    made, at = asking.made, "2026-11-02T10:00:00Z"
    missing = (
        line("cost", "images", "3", None, explain="no rate for images"),
        line("price", "images", "3", None, explain="no card"),
    )
    first = made.rated(event("acme", at), NONE, NONE, missing)
    gone = made.rated(event("bolt", at), NONE, NONE, missing)
    write_rows(asking.connection, [first, gone, made.reversal(gone, posted="2026-11-04T00:00:00Z")])
    found = asking.rows("unpriced", "--by", "customer", *NOVEMBER, code=4)
    shared = {
        "customer": "acme",
        "provider": "acme",
        "model": "one",
        "meter": "images",
        "events": 1,
        "quantity": "3",
    }
    assert found == [
        {"side": "cost", **shared, "reason": "no rate for images"},
        {"side": "price", **shared, "reason": "no card"},
    ]
    assert asking.rows("unpriced", "--customer", "bolt", *NOVEMBER) == []


ROUTING = {
    "router": "cascade",
    "policy": "cheap first",
    "reason": "short question",
    "candidates": [
        {"provider": "acme", "model": "one", "estimated_cost": {"amount": "0.1", "currency": "USD"}}
    ],
    "chosen_provider": "acme",
    "chosen_model": "one",
    "fallback_of": None,
}


def test_one_query_with_its_calls_and_routing(asking: Asking) -> None:
    made = asking.made
    write_rows(
        asking.connection,
        [
            made.rated(
                event("acme", "2026-11-02T10:00:00Z", event_id="plan", query_id="q1", routing=ROUTING),
                usd("0.1"),
                INCLUDED,
                lines("0.1", "0"),
            ),
            made.rated(
                event(
                    "acme",
                    "2026-11-02T10:00:01Z",
                    event_id="a",
                    query_id="q1",
                    parent_event_id="plan",
                    attempt=2,
                ),
                usd("0.2"),
                usd("1"),
            ),
            made.rated(event("acme", "2026-11-02T10:00:01Z", query_id="q2"), usd("5"), usd("5")),
            made.rated(event("bolt", "2026-11-02T10:00:01Z", query_id="q2"), usd("6"), usd("6")),
        ],
    )
    answer = asking.json("query", "q1")
    assert answer["totals"] == [{"currency": "USD", "cost": "0.3", "price": "1"}]
    assert [call["event_id"] for call in answer["calls"]] == ["plan", "a"]
    assert answer["calls"][0]["routing"] == ROUTING
    text = asking.text("query", "q1")
    assert (
        "routed: cascade, chose acme/one, among acme/one 0.1 USD, by cheap first, because short question"
        in text
    )
    assert "    2026-11-02T10:00:01Z a acme/one ok, attempt 2" in text
    with pytest.raises(Exception, match="acme, bolt"):
        asking.text("query", "q2")
    assert asking.json("query", "q2", "--customer", "bolt")["totals"] == [
        {"currency": "USD", "cost": "6", "price": "6"}
    ]
    with pytest.raises(Exception, match="not in the ledger"):
        asking.text("query", "q3")
    assert len(list(csv.reader(io.StringIO(asking.text("query", "q1", "--csv"))))) == 3


def test_the_costliest_queries_whatever_their_price(asking: Asking) -> None:
    made = asking.made
    write_rows(
        asking.connection,
        [
            made.rated(event("acme", "2026-11-02T10:00:00Z", query_id="two"), usd("3"), INCLUDED),
            made.rated(event("acme", "2026-11-02T10:00:00Z", query_id="two"), usd("3"), usd("9")),
            made.rated(event("acme", "2026-11-20T10:00:00Z", query_id="one"), usd("5"), usd("6")),
            made.rated(
                event("bolt", "2026-11-20T10:00:00Z", query_id="euro"), usd("4", currency="EUR"), NONE
            ),
            made.rated(event("bolt", "2026-12-01T00:00:00Z", query_id="later"), usd("100"), NONE),
            made.rated(event("bolt", "2026-11-01T00:00:00Z", query_id="least"), usd("1"), NONE),
        ],
    )
    found = asking.rows("queries", "--top", "2", *NOVEMBER)
    assert [(row["currency"], row["query"], row["cost"], row["price"], row["calls"]) for row in found] == [
        ("EUR", "euro", "4", "0", 1),
        ("USD", "two", "6", "9", 2),
        ("USD", "one", "5", "6", 1),
    ]


def test_what_calls_would_have_cost_on_another_model(asking: Asking) -> None:
    # The book: 2 USD a million input tokens of acme/one. Recorded: 1,000 tokens, 0.005 USD on another model.
    apply(asking.connection, BOOK, author="test", retroactive=True)
    made, at = asking.made, "2026-11-02T10:00:00Z"
    first = made.rated(event("acme", at, query_id="q1", requested_model="two"), usd("0.005"), NONE)
    images = {"images": "3", "input_tokens": "1000"}
    gone = made.rated(event("acme", at, query_id="q1", requested_model="two"), usd("0.009"), NONE)
    write_rows(
        asking.connection,
        [
            first,
            made.rated(event("acme", at, requested_model="two", usage=images), usd("0.006"), NONE),
            gone,
            made.reversal(gone, posted="2026-11-04T00:00:00Z"),
        ],
    )
    answer = asking.json("whatif", "--model", "acme/one", "--query", "q1")
    assert answer["events"] == 1
    (row,) = answer["rows"]
    assert (row["cost"], row["there_cost"], row["difference"]) == ("0.005", "0.002", "-0.003")
    answer = asking.json("whatif", "--model", "acme/one", "--customer", "acme", *NOVEMBER, code=4)
    assert [
        (row["there"], row["events"], row["there_cost"], row["difference"]) for row in answer["rows"]
    ] == [
        ("partial", 1, "0.002", None),
        ("priced", 1, "0.002", "-0.003"),
    ]
    (missing,) = answer["not_priced"]
    assert (missing["meter"], missing["events"]) == ("images", 1)
    answer = asking.json("whatif", "--model", "acme/none", "--query", "q1", code=4)
    assert answer["rows"][0]["there"] == "unpriced"


def test_the_empty_value_is_asked_for_as_it_is_shown(asking: Asking) -> None:
    made, at = asking.made, "2026-11-02T10:00:00Z"
    costs = {"1": None, "2": "", "4": "ask", "8": "other"}
    write_rows(
        asking.connection,
        [made.rated(event("acme", at, feature=name), usd(cost), NONE) for cost, name in costs.items()],
    )

    def cost(*words: str) -> str:
        (row,) = asking.rows("usage", *words, *NOVEMBER)
        return str(row["cost"])

    assert cost("--where", "feature=") == "3"
    assert cost("--where", "feature=", "--where", "feature=ask") == "7"
    assert cost("--where", "feature=ask") == "4"
    assert cost("--where", "currency=") == "15"  # no price


def test_what_cannot_be_asked_is_named(asking: Asking) -> None:
    write_rows(asking.connection, [asking.made.rated(event("a", "2026-11-02T10:00:00Z"), usd("1"), NONE)])
    with pytest.raises(Exception, match="dimension colour: not declared"):
        asking.text("usage", "--by", "colour")
    with pytest.raises(Exception, match="dimension colour: not declared"):
        asking.text("unpriced", "--where", "colour=red")
    with pytest.raises(Exception, match="NAME=VALUE"):
        asking.text("usage", "--where", "red")
