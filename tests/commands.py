"""Commands made from what a pipeline has rated, and the version of the book that they re-rate with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from pricing.cards import BookContent, Pool, PoolVersion, Tier
from rate_book.store import apply
from runtime.kafka.offsets import list_offsets
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fix_rater import Pipeline, wait_for
from tests.pooled_book import POOLED_BOOK

Held = tuple[bytes, Mapping[str, Any], int, int]
"""A record of usage.rated: value, decoded, partition, offset."""

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


def apply_changed(pipeline: Pipeline) -> None:
    """Store the changed book as version 3, and wait until every head carries it."""
    with connect(pipeline.dsn) as connection:
        apply(connection, changed(), author="test", retroactive=True)
    wait_for(
        lambda: all(head["book_version"] == 3 for head in pipeline.heads().values()),
        "every head carries version 3",
    )


def cheaper_amount(input_tokens: int, output_tokens: int) -> Fraction:
    """What a month of `steps` costs under version 3."""
    amount = Fraction(4 * min(input_tokens, 2500), 1000) + Fraction(max(0, input_tokens - 2500), 1000)
    each = Fraction(4, 1000) if output_tokens > 500 else Fraction(1, 100)
    return amount + output_tokens * each


def current(pipeline: Pipeline) -> dict[tuple[str, str], Held]:
    """The newest record that is no reversal, by customer and event id."""
    found: dict[tuple[str, str], Held] = {}
    for message in pipeline.read(topics.USAGE_RATED):
        value, partition, offset = message.value(), message.partition(), message.offset()
        assert value is not None
        assert partition is not None
        assert offset is not None
        record = CODEC.decode("RatedUsage", value)
        if record["rating"]["leg"] != "reversal":
            key = record["event"]["customer_id"], record["event"]["event_id"]
            found[key] = value, record, partition, offset
    return found


def command(held: Held, kind: str, name: str, **fields: Any) -> tuple[bytes, bytes]:
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
    partitions = range(pipeline.settings.partitions)
    names = [(pipeline.prefix + topics.USAGE_CORRECTIONS, partition) for partition in partitions]
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


def run_of(
    records: Mapping[tuple[str, str], Held], customer: str, version: int, run_id: str
) -> list[tuple[bytes, bytes]]:
    """A re-rate of everything that the customer has, in the order of its sequences."""
    held = sorted(
        (it for (who, _), it in records.items() if who == customer),
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
