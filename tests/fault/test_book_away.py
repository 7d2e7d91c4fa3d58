"""PostgreSQL away: a rater relies on its book for the lead, then waits; it never prices with an older one."""

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pricing.cards import BookContent, CardVersion, Cell, Rate
from rate_book.store import apply
from runtime.postgres import connect
from tests.fault.checks import check_everything
from tests.fault.load import Load, amounts
from tests.fault.proxy import Proxy
from tests.fix_rater import BOOK, Pipeline, wait_for

_LEAD_S = 4


@pytest.fixture
def proxy(pipeline: Pipeline) -> Iterator[Proxy]:
    """The way of raters started with `dsn_by(pipeline, proxy)` to PostgreSQL."""
    given = conninfo_to_dict(pipeline.dsn)
    made = Proxy(str(given["host"]), int(str(given["port"])))
    yield made
    made.cut()


def dsn_by(pipeline: Pipeline, proxy: Proxy) -> str:
    return make_conninfo(pipeline.dsn, port=proxy.port)


@pytest.mark.slow
def test_it_goes_on_for_the_lead_pauses_at_the_horizon_and_continues(
    pipeline: Pipeline, proxy: Proxy
) -> None:
    with connect(pipeline.dsn) as connection:
        apply(connection, BOOK, author="test", lead_us=_LEAD_S * 1_000_000)
    load = Load(pipeline, at_once=100)
    rater = pipeline.start(postgres__dsn=dsn_by(pipeline, proxy), rater__book_poll_s=1)
    pipeline.wait_frames(2)
    proxy.cut()
    cut_us = time.time_ns() // 1000
    wait_for(
        lambda: any(item["event"]["event_time_us"] > cut_us for item in pipeline.rated()),
        "it goes on without PostgreSQL",
    )
    # The last confirmation is of before the cut: nothing from cut + lead on may be rated.
    wait_for(lambda: time.time_ns() // 1000 > cut_us + (_LEAD_S + 2) * 1_000_000, "the horizon has passed")
    wait_for(lambda: pipeline.pending() > 50, "it waits")
    newest_us = max(item["event"]["event_time_us"] for item in pipeline.rated())
    assert newest_us < cut_us + _LEAD_S * 1_000_000
    proxy.mend()
    load.wait_more(50)
    load.stop()
    pipeline.wait_drained()
    assert rater.terminate() == 0
    check_everything(pipeline, load)


@pytest.mark.slow
def test_a_partition_is_never_rated_with_a_book_older_than_its_heads(
    pipeline: Pipeline, proxy: Proxy
) -> None:
    load = Load(pipeline, at_once=100, bad=False)
    first = pipeline.start(slot=0, postgres__dsn=dsn_by(pipeline, proxy), rater__book_poll_s=1)
    pipeline.wait_frames(2)
    proxy.cut()
    with connect(pipeline.dsn) as connection:
        apply(connection, _doubled(BOOK), author="test", retroactive=True)
    second = pipeline.start(slot=1)
    second.wait_owner()
    wait_for(lambda: _newer_heads(pipeline) == 2, "the second records the new version in its heads")
    second.kill9()
    wait_for(lambda: first.log().count("owns partitions") >= 3, "the first takes its partitions over")
    at = {number: head["frame_no"] for number, head in pipeline.heads().items()}
    held = {number for number, head in pipeline.heads().items() if head["book_version"] == 2}
    wait_for(
        lambda: all(
            head["frame_no"] > at[number] for number, head in pipeline.heads().items() if number not in held
        ),
        "it rates the partitions whose heads have its version",
    )
    assert {number: pipeline.heads()[number]["frame_no"] for number in held} == {
        number: at[number] for number in held
    }
    proxy.mend()
    load.stop()
    pipeline.wait_drained()
    assert first.terminate() == 0
    _check_versions(pipeline, load)


def _newer_heads(pipeline: Pipeline) -> int:
    return sum(head["book_version"] == 2 for head in pipeline.heads().values())


def _check_versions(pipeline: Pipeline, load: Load) -> None:
    """Each event once, at the prices of the version that it names; versions never go back in a partition."""
    expected = {event["event_id"]: amounts(event) for event in load.events}
    rated = pipeline.rated()
    assert sorted(item["event"]["event_id"] for item in rated) == sorted(expected)
    newest: dict[str, int] = {}
    for item in rated:
        version = item["rating"]["book_version"]
        assert version >= newest.get(item["event"]["customer_id"], 0)
        newest[item["event"]["customer_id"]] = version
        cost, price = expected[item["event"]["event_id"]]
        assert Fraction(item["rating"]["cost"]["amount"]) == cost * version
        assert Fraction(item["rating"]["price"]["amount"]) == price
    assert 2 in newest.values()


def _doubled(book: BookContent) -> BookContent:
    """Version 2: the provider takes twice as much, from ever on."""
    card = book.provider_cards[0]
    cell = Cell((Rate("input_tokens", "4", "1000000"), Rate("output_tokens", "20", "1000000")))
    return replace(book, provider_cards=(replace(card, versions=(CardVersion(cell),)),))
