"""A customer's totals read from a real ledger at every cut, beside a fold of its records one by one."""

from collections.abc import Iterator
from typing import Any

import pytest

from pricing.totals import Scope
from rate_book.instants import parse_instant
from rate_book.ledger_totals import (
    Contributor,
    CrossingEvent,
    LedgerMissingError,
    LedgerTotals,
    Measured,
    RowsGoneError,
)
from runtime.postgres import Connection, DatabaseUnavailableError, connect, migrate
from tests.fix_postgres import PostgresFixture
from tests.ledger_mix import Generated, folded, shown_live, zone_named
from tests.ledger_rows import NONE, Made, Written, line, usd, write_rows

pytestmark = pytest.mark.postgres

ATTO = 10**18
SCOPES: tuple[Scope, ...] = (
    (),
    (("feature", "chat"),),
    (("feature", "chat"), ("model", "two")),
    (("provider", "acme"),),
    (("feature", "nowhere"),),
)


@pytest.fixture
def connection(postgres: PostgresFixture) -> Iterator[Connection]:
    with connect(postgres.dsn) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def totals(postgres: PostgresFixture, connection: Connection) -> Iterator[LedgerTotals]:
    connection.commit()
    reader = LedgerTotals(postgres.dsn)
    yield reader
    reader.close()


@pytest.mark.parametrize(
    ("seed", "zone_name"),
    [(1, "Europe/Berlin"), (2, "America/New_York"), (3, "Asia/Kathmandu"), (4, "UTC"), (5, "Pacific/Apia")],
)
def test_every_cut_equals_the_fold_of_its_records(
    connection: Connection, totals: LedgerTotals, seed: int, zone_name: str
) -> None:
    records = Generated(seed).records(60)
    write_rows(connection, [Made().rated({"customer_id": "d", "at": "2026-12-24T12:00:00Z"}, usd("7"), NONE)])
    for first in range(0, len(records), 7):
        write_rows(connection, records[first : first + 7])
    connection.commit()
    zone = zone_named(zone_name)
    for until in (*range(len(records) + 1), None):
        cut = totals.at("c", until, zone, SCOPES)
        seq = len(records) if until is None else until
        assert (cut.seq, cut.contiguous_seq) == (seq, len(records))
        assert shown_live(cut.live) == folded(records, seq, zone, SCOPES), f"at {seq}"


def at(made: Made, instant: str, cost: str, **event: Any) -> Written:
    return made.rated({"customer_id": "c", "at": instant} | event, usd(cost), usd(cost), posted=instant)


def test_a_window_whose_rows_are_all_above_the_cut_gives_way_to_an_older_one(
    connection: Connection, totals: LedgerTotals
) -> None:
    made = Made()
    records = [at(made, f"2026-11-{day:02}T12:00:00Z", "1") for day in (18, 19, 20, 21)]
    write_rows(connection, records)
    connection.commit()
    days = [
        (key[1], sums.cost_atto)
        for key, sums in totals.at("c", 2, zone_named("UTC")).live.items()
        if key[0] == "day"
    ]
    assert days == [
        (parse_instant("2026-11-18T00:00:00Z"), ATTO),
        (parse_instant("2026-11-19T00:00:00Z"), ATTO),
    ]


def test_a_window_that_corrections_left_at_zero_stays_and_one_that_was_never_there_does_not(
    connection: Connection, totals: LedgerTotals
) -> None:
    """Both are 0 once what is above the cut is taken out."""
    made = Made()
    first = at(made, "2026-11-18T12:00:00Z", "1")
    undone = made.reversal(first, posted="2026-11-18T13:00:00Z")
    again = at(made, "2026-11-18T12:05:00Z", "1")
    later = at(made, "2026-11-19T12:00:00Z", "1")
    write_rows(connection, [first, undone, again, later])
    connection.commit()
    days = [
        (key[1], sums.cost_atto, sums.events)
        for key, sums in totals.at("c", 2, zone_named("UTC")).live.items()
        if key[0] == "day"
    ]
    assert days == [(parse_instant("2026-11-18T00:00:00Z"), 0, 0)]


def test_a_customer_that_the_ledger_does_not_know_has_nothing(totals: LedgerTotals) -> None:
    cut = totals.at("nobody", 7, zone_named("UTC"), SCOPES)
    assert (cut.seq, cut.contiguous_seq, cut.live.items()) == (0, 0, [])


def test_rows_beyond_a_gap_are_not_in_the_totals(connection: Connection, totals: LedgerTotals) -> None:
    made = Made()
    records = [at(made, f"2026-11-18T12:0{minute}:00Z", "1") for minute in range(4)]
    write_rows(connection, [records[0], records[1], records[3]])
    connection.execute("update ledger.customers set contiguous_seq = 2, last_seq = 4, gap_seq = 3")
    connection.commit()
    cut = totals.at("c", None, zone_named("UTC"))
    assert (cut.seq, cut.contiguous_seq) == (2, 2)
    assert shown_live(cut.live) == folded(records, 2, zone_named("UTC"), [()])


def test_a_cut_below_rows_that_are_gone_is_refused(connection: Connection, totals: LedgerTotals) -> None:
    made = Made()
    write_rows(connection, [at(made, "2026-11-18T12:00:00Z", "1"), at(made, "2026-11-19T12:00:00Z", "1")])
    connection.execute("alter table ledger.rated detach partition ledger.rated_20261119")
    connection.commit()
    assert totals.at("c", None, zone_named("UTC")).seq == 2
    with pytest.raises(RowsGoneError, match="0 rows with sequences 2 to 2"):
        totals.at("c", 1, zone_named("UTC"))


def test_customers_and_how_far_they_are(connection: Connection, totals: LedgerTotals) -> None:
    made = Made()
    for customer in ("a", "b"):
        event = {"customer_id": customer, "at": "2026-11-18T12:00:00Z"}
        write_rows(connection, [made.rated(event, usd("1"), usd("1")) for _ in range(2)])
    connection.commit()
    assert totals.contiguous(["b", "c"]) == {"b": 2}
    assert list(totals.known_customers()) == [("a", 2), ("b", 2)]


def test_reversals(connection: Connection, totals: LedgerTotals) -> None:
    made = Made()
    first = at(made, "2026-11-18T12:00:00Z", "1")
    records = [
        first,
        made.reversal(first, posted="2026-11-19T12:00:00Z"),
        at(made, "2026-11-20T12:00:00Z", "1"),
    ]
    write_rows(connection, records)
    connection.commit()
    assert totals.reversal_since("c", 1)
    assert totals.reversal_since("c", 1, 2)
    assert not totals.reversal_since("c", 2)
    assert not totals.reversal_since("c", 0, 1)
    assert not totals.reversal_since("d", 0)


DAY = Measured(
    (("feature", "chat"),),
    "day",
    parse_instant("2026-11-18T00:00:00Z"),
    parse_instant("2026-11-19T00:00:00Z"),
    "price",
    "USD",
)


def crossing_rows(made: Made) -> list[Written]:
    """Of the day and feature: 1 at sequence 1, 2 at 4, 3 at 5; what else there is counts not."""
    return [
        at(made, "2026-11-18T12:00:00Z", "1", feature="chat", event_id="first"),
        at(made, "2026-11-18T12:00:00Z", "9", feature="search"),
        at(made, "2026-11-19T00:00:00Z", "9", feature="chat"),
        at(made, "2026-11-18T12:00:00Z", "1", feature="chat", event_id="second"),
        at(made, "2026-11-18T12:20:00Z", "1", feature="chat", event_id="third"),
    ]


@pytest.mark.parametrize("measure", ["price", "cost", "events", "quantity:input_tokens"])
@pytest.mark.parametrize("case", [
    (2, (0, 5), 4), (2, (3, 5), 4), (3, (1, 5), 5), (1, (0, 5), 1),
    (3, (1, 4), None), (1, (1, 5), None), (4, (0, 5), None),
])  # fmt: skip
def test_the_event_that_crossed(
    connection: Connection,
    totals: LedgerTotals,
    measure: str,
    case: tuple[int, tuple[int, int], int | None],
) -> None:
    amount, between, found = case
    made = Made()
    lines = (line("cost", "input_tokens", "1", "1"),)
    rows = [
        made.rated(item.record["event"] | {"at": "2026-11-18T12:00:00Z", "customer_id": "d"},
                   item.record["rating"]["cost"], item.record["rating"]["price"], lines)
        for item in crossing_rows(Made())
    ]  # fmt: skip
    write_rows(connection, rows)
    connection.commit()
    currency = "USD" if measure in ("price", "cost") else None
    measured = Measured(DAY.scope, "day", DAY.start_us, DAY.end_us, measure, currency)
    event = totals.crossing("d", measured, amount * ATTO, *between)
    assert (event and event.customer_seq) == found


def test_a_crossing_names_its_event_in_every_window(connection: Connection, totals: LedgerTotals) -> None:
    rows = crossing_rows(Made())
    write_rows(connection, rows)
    connection.commit()
    start_us = rows[0].row.service_start_us
    third = CrossingEvent("test", "third", 5, parse_instant("2026-11-18T12:20:00Z"))
    assert totals.crossing("c", DAY, 3 * ATTO, 1, 5) == third
    for window in ("period", "lifetime"):
        measured = Measured(DAY.scope, window, start_us, None, "price", "USD")
        assert totals.crossing("c", measured, 12 * ATTO, 1, 5) == third
        assert totals.crossing("c", measured, 13 * ATTO, 1, 5) is None
    euros = Measured(DAY.scope, "day", DAY.start_us, DAY.end_us, "price", "EUR")
    assert totals.crossing("c", euros, 1, 0, 5) is None


def test_contributors_by_feature_and_model(connection: Connection, totals: LedgerTotals) -> None:
    made = Made()
    amounts = {"a": "40", "b": "10", "c": "30", "d": "5", "e": "4", "f": "1"}
    rows = [
        at(
            made,
            "2026-11-18T12:00:00Z",
            amount,
            feature=feature,
            requested_model="one" if amount > "3" else "two",
        )
        for feature, amount in amounts.items()
    ]
    write_rows(connection, [*rows, at(made, "2026-11-19T12:00:00Z", "99", feature="a")])
    connection.commit()
    measured = Measured((), "day", DAY.start_us, DAY.end_us, "cost", "USD")
    assert totals.contributors("c", measured) == [
        Contributor("feature", "a", 40 * ATTO, "44.44"),  # of 90
        Contributor("feature", "c", 30 * ATTO, "33.33"),
        Contributor("feature", "b", 10 * ATTO, "11.11"),
        Contributor("feature", "d", 5 * ATTO, "5.55"),
        Contributor("feature", "e", 4 * ATTO, "4.44"),
        Contributor("model", "one", 79 * ATTO, "87.77"),
        Contributor("model", "two", 11 * ATTO, "12.22"),
    ]
    of_feature = Measured((("feature", "a"),), "lifetime", 0, None, "price", "USD")
    assert totals.contributors("c", of_feature) == [
        Contributor("feature", "a", 139 * ATTO, "100.00"),
        Contributor("model", "one", 139 * ATTO, "100.00"),
    ]


def test_an_unknown_measure_is_named(connection: Connection, totals: LedgerTotals) -> None:
    write_rows(connection, [at(Made(), "2026-11-18T12:00:00Z", "1")])
    connection.commit()
    with pytest.raises(ValueError, match="measure 'profit'"):
        totals.contributors("c", Measured((), "lifetime", 0, None, "profit", None))


def test_a_database_without_ledger_and_one_that_is_away(postgres: PostgresFixture) -> None:
    reader = LedgerTotals(postgres.dsn, role="")
    with pytest.raises(LedgerMissingError, match="ledger migrate"):
        reader.contiguous(["a"])
    reader.close()
    away = LedgerTotals("host=127.0.0.1 port=1 dbname=nothing user=nobody")
    with pytest.raises(DatabaseUnavailableError):
        away.contiguous(["a"])
