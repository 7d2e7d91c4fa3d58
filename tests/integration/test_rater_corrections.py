"""Corrections through a real broker: void, amend, re-rate, restarts, deleted state; verified."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pricing.cards import BookContent, Pool, PoolVersion, Tier
from rate_book.store import apply
from runtime.kafka.offsets import list_offsets
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fault.checks import verify
from tests.fix_rater import PARTITIONS, Pipeline, usage_event, wait_for, whole
from tests.pooled_book import POOLED_BOOK

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

DAY_US = 86_400_000_000
NOON_US = time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2  # of yesterday

# Version 3: `steps` pays 4 USD per 1000 input tokens, over 2500 tokens 1 USD per 1000; output as it was.
CHEAPER = Pool(
    "input", "USD", (PoolVersion("graduated", (Tier("0", "4", "1000"), Tier("2500", "1", "1000"))),)
)


def changed() -> BookContent:
    cards = tuple(
        replace(card, pools=(CHEAPER, *card.pools[1:])) if card.price_card_id == "steps" else card
        for card in POOLED_BOOK.price_cards
    )
    return replace(POOLED_BOOK, price_cards=cards)


@pytest.fixture
def pooled(pipeline: Pipeline) -> Iterator[Pipeline]:
    """The pipeline, with customers who pay by the period: version 2."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    yield pipeline
    pipeline.check_alive()


def events_of(customer: str, numbers: range, **fields: Any) -> list[dict[str, Any]]:
    """1000 input and 100 output tokens each."""
    return [
        usage_event(0, number, customer_id=customer, event_time_us=NOON_US, **fields) for number in numbers
    ]


def current(pipeline: Pipeline) -> dict[tuple[str, str], tuple[bytes, Mapping[str, Any], int, int]]:
    """The newest record that is no reversal, of each event: value, decoded, partition, offset."""
    found = {}
    for message in pipeline.read(topics.USAGE_RATED):
        record = CODEC.decode("RatedUsage", message.value())
        if record["rating"]["leg"] != "reversal":
            key = record["event"]["customer_id"], record["event"]["event_id"]
            found[key] = message.value(), record, message.partition(), message.offset()
    return found


def command(
    held: tuple[bytes, Mapping[str, Any], int, int], kind: str, name: str, **fields: Any
) -> tuple[bytes, bytes]:
    """Key and value of a command for a record as it stands."""
    value, record, partition, offset = held
    event, rating = record["event"], record["rating"]
    correction = {
        "correction_id": f"{name} {event['event_id']} {rating['revision']}",
        "customer_id": event["customer_id"],
        "target": {
            "source": event["source"],
            "event_id": event["event_id"],
            "expected_revision": rating["revision"],
        },
        "command": kind,
        "reason": "test",
        "author": "tester",
        "book_version": None,
        "amended_event": None,
        "target_record": value,
        "position": {"partition": partition, "offset": offset},
        "run_id": None,
        "closes": [],
    } | fields
    return event["customer_id"].encode(), CODEC.encode("Correction", correction)


def send(pipeline: Pipeline, commands: Sequence[tuple[bytes, bytes]]) -> None:
    """Publish commands and wait until frames cover them."""
    pipeline.emit_raw(commands, topic=topics.USAGE_CORRECTIONS)
    wait_for(lambda: corrections_pending(pipeline) == 0, "every correction is covered by a frame")


def corrections_pending(pipeline: Pipeline) -> int:
    pipeline.check_alive()
    names = [(pipeline.prefix + topics.USAGE_CORRECTIONS, partition) for partition in range(PARTITIONS)]
    ends = list_offsets(pipeline.settings.client_config(), names, "latest")
    heads = pipeline.heads()
    return sum(
        end - (heads[partition]["corrections_next"] if partition in heads else 0)
        for (_, partition), end in ends.items()
    )


def paid(pipeline: Pipeline) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for item in pipeline.rated():
        customer, amount = item["event"]["customer_id"], item["rating"]["price"]["amount"]
        found[customer] = found.get(customer, Fraction(0)) + Fraction(amount)
    return found


def run_of(pipeline: Pipeline, customer: str, version: int, run_id: str) -> list[tuple[bytes, bytes]]:
    """A re-rate of everything that the customer has, in the order of its sequences."""
    held = sorted(
        (it for (who, _), it in current(pipeline).items() if who == customer),
        key=lambda it: it[1]["rating"]["customer_seq"],
    )
    closes = {
        (pool["pool"], pool["period"]["start_us"]) for it in held for pool in it[1]["rating"]["pools_before"]
    }
    periods = [{"pool": pool, "start_us": start_us} for pool, start_us in sorted(closes)]
    return [
        command(
            it,
            "rerate",
            run_id,
            book_version=version,
            run_id=run_id,
            closes=periods if it is held[-1] else [],
        )
        for it in held
    ]


def test_void_and_amend_over_restarts_and_lost_state(pooled: Pipeline) -> None:
    """3000 input tokens are 2500 x 0.003 + 1 + 500 x 0.002 = 9.5, 300 output tokens 3: together 12.5. Without
    the second event 2000 are 6 and 200 are 2: 8. The third with 2000 input tokens: 3000 are 9.5 again, and
    200 output tokens 2: 11.5. The others pay 0.0045 an event.
    """
    pooled.emit([*events_of("steps", range(3)), *events_of("customer-7", range(3))])
    rater = pooled.start()
    pooled.wait_drained()
    assert paid(pooled) == {"steps": Fraction("12.5"), "customer-7": Fraction("0.0135")}
    held = current(pooled)
    voids = [command(held[who, "event-1"], "void", "void") for who in ("steps", "customer-7")]
    send(pooled, voids)
    assert paid(pooled) == {"steps": Fraction(8), "customer-7": Fraction("0.009")}
    rater.kill9()
    shutil.rmtree(pooled.directory / "state")
    rater = pooled.start()
    amended = whole(
        events_of("steps", range(2, 3), usage={"input_tokens": "2000", "output_tokens": "100"})[0]
    )
    amend = command(
        held["steps", "event-2"], "amend", "amend", amended_event=CODEC.encode("UsageEvent", amended)
    )
    stale = command(held["steps", "event-2"], "void", "too late")
    send(pooled, [*voids, amend, stale])
    assert rater.terminate() == 0
    assert paid(pooled) == {"steps": Fraction("11.5"), "customer-7": Fraction("0.009")}
    assert [(it["reason"], it["topic"]) for it in pooled.rejected()] == [
        ("stale_correction", "usage.corrections")
    ]
    verify(pooled)


@pytest.mark.parametrize("forget", [False, True])
def test_a_rerate_of_a_period_over_restarts(pooled: Pipeline, *, forget: bool) -> None:
    """Five of 1000 input and 100 output tokens under version 2: 2500 x 0.003 + 1 + 2500 x 0.002 = 13.5, and
    500 x 0.01 = 5. While the re-rate runs one more arrives: under version 3, 6000 input tokens are
    2500 x 0.004 + 3500 x 0.001 = 13.5, and 600 output tokens 600 x 0.004 = 2.4: together 15.9.
    """
    pooled.emit(events_of("steps", range(5)))
    rater = pooled.start(rater__batch_records_max=2)
    pooled.wait_drained()
    assert paid(pooled) == {"steps": Fraction("18.5")}
    with connect(pooled.dsn) as connection:
        apply(connection, changed(), author="test", retroactive=True)
    wait_for(
        lambda: all(head["book_version"] == 3 for head in pooled.heads().values()), "heads carry version 3"
    )
    commands = run_of(pooled, "steps", 3, "run-1")
    send(pooled, commands[:3])
    rater.kill9()
    if forget:
        shutil.rmtree(pooled.directory / "state")
    rater = pooled.start(rater__batch_records_max=2)
    pooled.emit(events_of("steps", range(5, 6)))
    pooled.wait_drained()
    send(pooled, commands)  # the first three again
    assert rater.terminate() == 0
    assert paid(pooled) == {"steps": Fraction("15.9")}
    ratings = [it["rating"] for it in pooled.rated()]
    assert [it["leg"] for it in ratings].count("replacement") == 5
    keys = {message.key(): message.value() for message in pooled.read(topics.RATER_STATE)}
    runs = [value for key, value in keys.items() if (key or b"").startswith(b"u/")]
    assert runs == [None, None]  # closed, both pools
    verify(pooled)


def test_an_older_version_is_loaded_when_a_command_needs_it(pooled: Pipeline) -> None:
    """A process that knows version 3 only loads the older one when a command asks for it.

    1000 input tokens are 4 under version 3, 100 output tokens 1.
    """
    pooled.emit(events_of("steps", range(2)))
    rater = pooled.start()
    pooled.wait_drained()
    with connect(pooled.dsn) as connection:
        apply(connection, changed(), author="test", retroactive=True)
    wait_for(
        lambda: all(head["book_version"] == 3 for head in pooled.heads().values()), "heads carry version 3"
    )
    assert rater.terminate() == 0
    pooled.start()
    pooled.wait_frames(1)
    send(pooled, [command(current(pooled)["steps", "event-0"], "void", "void")])
    assert paid(pooled) == {"steps": Fraction(5)}
    verify(pooled)
