"""Rows of the ledger and their lines, against PostgreSQL's text format as its manual tells it."""

from datetime import date
from typing import Any

import pytest

from ledger.core.contiguous import Progress, repeated
from ledger.core.rows import (
    BadRowError,
    Place,
    RatedRow,
    copy_line,
    instant_text,
    posted,
    rated_row,
    rejected_row,
)

EVENT: dict[str, Any] = {
    "customer_id": "c1",
    "source": "api",
    "event_id": "e1",
    "event_time_us": 1_795_428_000_000_001,
    "query_id": None,
    "parent_event_id": None,
    "attempt": 2,
    "project": "p",
    "user_id": None,
    "product": None,
    "feature": "chat",
    "provider": "acme",
    "requested_model": "asked",
    "served_model": "served",
    "billed_model": None,
}
RATING: dict[str, Any] = {
    "customer_seq": 7,
    "leg": "reversal",
    "revision": 1,
    "correction_id": "fix-1",
    "book_version": 3,
    "service_period": {"start_us": 100, "end_us": 200},
    "cost": {"status": "priced", "amount": "-0.003", "currency": "USD"},
    "price": {"status": "unpriced", "amount": None, "currency": None},
    "plan": "standard",
}
# 2026-11-23T10:00:00Z is day 20,780 since 1970: 1,795,428,000 s = 20,780 * 86,400 + 36,000.
PLACE = Place(3, 41, 1_795_428_000_123)


def row(**event: Any) -> RatedRow:
    return rated_row({"event": EVENT | event, "rating": RATING}, PLACE, b"\x00\xff")


def test_the_row_says_what_the_record_says() -> None:
    assert row() == RatedRow(
        posted_day=date(2026, 11, 23),
        customer_id="c1",
        source="api",
        event_id="e1",
        revision=1,
        leg="reversal",
        customer_seq=7,
        kafka_partition=3,
        kafka_offset=41,
        posted_at="2026-11-23 10:00:00.123000+00",
        event_time="2026-11-23 10:00:00.000001+00",
        event_time_us=1_795_428_000_000_001,
        query_id=None,
        parent_event_id=None,
        attempt=2,
        project="p",
        user_id=None,
        product=None,
        feature="chat",
        provider="acme",
        model="served",
        plan="standard",
        book_version=3,
        correction_id="fix-1",
        service_start_us=100,
        service_end_us=200,
        posting_start_us=100,
        posting_end_us=200,
        cost_status="priced",
        cost="-0.003",
        cost_currency="USD",
        price_status="unpriced",
        price=None,
        price_currency=None,
        record=b"\x00\xff",
    )


def test_the_day_is_that_of_the_append_time_in_utc() -> None:
    last_of_the_22nd = Place(0, 0, 20_780 * 86_400_000 - 1)
    assert rated_row({"event": EVENT, "rating": RATING}, last_of_the_22nd, b"").posted_day == date(
        2026, 11, 22
    )


def test_a_line_has_tabs_between_values_and_backslash_n_for_none() -> None:
    assert copy_line(("a", None, 5, "", b"\x00\xff")) == "a\t\\N\t5\t\t\\\\x00ff\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a\tb", "a\\tb"),
        ("a\nb", "a\\nb"),
        ("a\rb", "a\\rb"),
        ("\\", "\\\\"),
        ("\\N", "\\\\N"),
        ("\\.", "\\\\."),
        ("\N{SNOWMAN} \x01\x7f", "\N{SNOWMAN} \x01\x7f"),
    ],
)
def test_what_copy_would_read_otherwise_is_escaped(value: str, written: str) -> None:
    assert copy_line((value, None, value, b"")) == f"{written}\t\\N\t{written}\t\\\\x\n"


def test_a_string_with_nul_is_refused_by_its_column() -> None:
    with pytest.raises(BadRowError, match="feature: holds NUL"):
        copy_line(row(feature="a\0b"))


def test_an_event_time_that_is_no_instant_is_refused() -> None:
    with pytest.raises(BadRowError, match="event_time_us"):
        row(event_time_us=2**63 - 1)
    assert instant_text(-1) == "1969-12-31 23:59:59.999999+00"
    assert instant_text(-62_135_596_800_000_000) == "0001-01-01 00:00:00.000000+00"


def test_names_longer_than_an_index_takes_are_refused_together() -> None:
    """128 + 256 characters, the most that events have, and currencies of 16 twice: 416 of 640 at most."""
    assert row(customer_id="c" * 128, query_id="q" * 256)
    assert row(customer_id="c" * 637)  # and USD
    with pytest.raises(BadRowError, match=r"641 characters together, rule: at most 640"):
        row(customer_id="c" * 638)
    with pytest.raises(BadRowError, match="641 characters"):
        row(customer_id="c" * 8, query_id="q" * 630)


def test_an_event_time_whose_month_never_ends_is_refused() -> None:
    """9999-12-01T00:00:00Z is second 253,399,622,400."""
    assert row(event_time_us=253_399_622_399_999_999).event_time == "9999-11-30 23:59:59.999999+00"
    with pytest.raises(BadRowError, match="before 9999-12"):
        row(event_time_us=253_399_622_400_000_000)


def test_a_row_of_a_closed_period_is_posted_to_the_open_one() -> None:
    kept = row()
    assert posted(kept, 100, 100, 300) is kept  # closed up to where its period begins
    moved = posted(kept, 200, 200, 300)
    assert (moved.posting_start_us, moved.posting_end_us) == (200, 300)
    assert (moved.service_start_us, moved.service_end_us) == (100, 200)


def test_a_rejected_record_shows_the_nul_that_it_was_rejected_for() -> None:
    rejected = {
        "reason": "invalid_field",
        "detail": "event_id 'a\0b'",
        "field": "event_id",
        "customer_id": None,
        "source": "api",
        "event_id": "a\0b",
        "topic": "usage.events",
        "partition": 3,
        "offset": 9,
    }
    made = rejected_row(rejected, PLACE, b"raw\0")
    assert (made.event_id, made.detail) == ("a\N{SYMBOL FOR NULL}b", "event_id 'a\N{SYMBOL FOR NULL}b'")
    assert (made.input_partition, made.input_offset, made.kafka_offset, made.record) == (3, 9, 41, b"raw\0")


def test_a_sequence_without_a_gap_moves_on_and_with_one_it_stays() -> None:
    progress = Progress()
    for seq in (1, 2, 5, 6):
        assert progress.takes(seq)
        progress.take(seq)
    assert progress == Progress(contiguous_seq=2, last_seq=6, gap_seq=3)
    assert not progress.takes(3)


def test_sequences_that_came_before_are_named() -> None:
    progress = {"a": Progress(3, 3), "b": Progress()}
    found = repeated(progress, [("a", 4), ("b", 1), ("a", 3), ("b", 1), ("a", 4), ("b", 2)])
    assert sorted(found) == [2, 3, 4]
    assert found[2] == "customer_seq: 3 of 'a': sequences grow, 4 came before it"
    assert progress == {"a": Progress(3, 3), "b": Progress()}
