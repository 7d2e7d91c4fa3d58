"""A partition with the real decoding, rating and encoding, and commands made from what it has written.

acme/one costs 2 USD a million input tokens; whoever begins with `steps` pays a pool of input tokens over
the calendar month, everyone else 3 USD a million.

version 1: 0.01 each, over 1000 tokens 0.008 each      version 2: 0.02 each, over 1000 tokens 0.01 each
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Tier,
)
from pricing.compile import CompiledBook, compile_book
from pricing.money import format_atto
from rate_book.errors import NoBookError
from rate_book.source import Confirmed
from rater.adapters.frame_bytes import encode_frame
from rater.adapters.rating import tools_for
from rater.core.batch import PartitionBatch
from rater.core.frames import effects_of_record, frame_record
from rater.core.work import BatchResult, Record, Tools
from schemas.codec import CODEC
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS, RamMemory

M = "1000000"
HOUR_US = 3_600_000_000


def content(first: str, then: str, flat: str = "3") -> BookContent:
    def card(card_id: str, rate: Rate) -> RateCard:
        return RateCard(card_id, "acme", "USD", (CardVersion(Cell((rate,))),), ("one",))

    tiers = PoolVersion("graduated", (Tier("0", first), Tier("1000", then)))
    return BookContent(
        (card("acme/one", Rate("input_tokens", "2", M)),),
        (
            PriceCard("list", (card("list/one", Rate("input_tokens", flat, M)),)),
            PriceCard(
                "steps",
                (card("steps/one", Rate("input_tokens", pool="input")),),
                (Pool("input", "USD", (tiers,)),),
            ),
        ),
        (Contract("standard", "USD", ("list",)), Contract("graduated", "USD", ("steps",))),
        (Assignment("*", "standard"), *(Assignment(name, "graduated") for name in ("steps", "steps-2"))),
    )


BOOKS = {
    1: compile_book(content("0.01", "0.008"), 1, "hash 1"),
    2: compile_book(content("0.02", "0.01", "6"), 2, "hash 2"),
}


def usage(
    number: int, tokens: int, customer: str = "steps", at_us: int = NOW_US, **more: Any
) -> dict[str, Any]:
    """A whole UsageEvent."""
    said = {
        "customer_id": customer,
        "source": "s",
        "event_id": f"e{number}",
        "event_time_us": at_us,
        "provider": "acme",
        "requested_model": "one",
        "usage_semantics": "inclusive",
        "usage": {"input_tokens": str(tokens)},
    } | more
    return {
        name: said.get(name, default)
        for name, default in (
            (each["name"], each.get("default")) for each in CODEC.schema("UsageEvent")["fields"]
        )
    }


@dataclass
class Partition:
    """What a rater would do of one partition, frame by frame, each written and read back."""

    version: int = 1
    at_hand: set[int] = field(default_factory=lambda: {1, 2})
    """Versions that can be loaded now."""
    horizon_us: int = 2**60
    memory: RamMemory = field(default_factory=RamMemory)
    values: list[bytes] = field(default_factory=list)
    """usage.rated."""
    rejected: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(topic, reason, field)."""
    frames: list[dict[str, Any]] = field(default_factory=list)
    results: list[BatchResult] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    """usage.events."""

    def tools(self) -> Tools:
        confirmed = Confirmed(BOOKS[self.version], self.horizon_us, 0)
        return tools_for(confirmed, lambda _key: 0, self._book_at)

    def _book_at(self, version: int) -> CompiledBook | None:
        if version not in BOOKS:
            raise NoBookError(f"version {version} is not stored")
        return BOOKS[version] if version in self.at_hand else None

    def run(
        self, events: Sequence[Mapping[str, Any]] = (), commands: Sequence[Mapping[str, Any] | bytes] = ()
    ) -> BatchResult:
        """One batch: events, then commands."""
        head = self.memory.head
        records = [
            Record(offset, NOW_US, said["customer_id"].encode(), CODEC.encode("UsageEvent", said))
            for offset, said in enumerate(events, start=head.events_next)
        ]
        sent = [
            Record(offset, NOW_US, *_sent(command))
            for offset, command in enumerate(commands, start=head.corrections_next)
        ]
        result = PartitionBatch(0, head, WINDOWS, self.memory, self.tools()).run(
            records, sent, "usage.events", "usage.corrections"
        )
        encoded = CODEC.encode("DeltaFrame", frame_record(result, "p", "b"))
        assert encode_frame(result, "p", "b") == encoded
        frame = CODEC.decode("DeltaFrame", encoded)
        self.frames.append(frame)
        self.results.append(result)
        self.events += [record.value or b"" for record in records]
        self.memory.apply(effects_of_record(frame))
        self.values += [value for _, value in result.rated]
        self.rejected += [(it.topic, it.reason, it.field) for it in result.rejected]
        return result

    @property
    def rated(self) -> list[dict[str, Any]]:
        return [CODEC.decode("RatedUsage", value) for value in self.values]

    def current(self, number: int, customer: str = "steps") -> bytes:
        """The newest record of an event that is no reversal."""
        return next(
            value
            for value, record in zip(reversed(self.values), reversed(self.rated), strict=True)
            if (record["event"]["customer_id"], record["event"]["event_id"]) == (customer, f"e{number}")
            and record["rating"]["leg"] != "reversal"
        )

    def command(self, command: str, number: int, customer: str = "steps", **fields: Any) -> dict[str, Any]:
        """A Correction of an event as it stands now."""
        value = self.current(number, customer)
        revision = CODEC.decode("RatedUsage", value)["rating"]["revision"]
        return {
            "correction_id": f"{command} {number} {revision}",
            "customer_id": customer,
            "target": {"source": "s", "event_id": f"e{number}", "expected_revision": revision},
            "command": command,
            "reason": "test",
            "author": "tester",
            "book_version": 2 if command == "rerate" else None,
            "amended_event": None,
            "target_record": value,
            "position": {"partition": 0, "offset": 0},
            "run_id": None,
            "closes": [],
        } | fields

    def amend(self, number: int, amended: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        return self.command(
            "amend",
            number,
            amended["customer_id"],
            amended_event=CODEC.encode("UsageEvent", amended),
            **fields,
        )

    def live(self, customer: str = "steps") -> tuple[str, str]:
        """Quantity and amount of the customer's only period; all that was written sums to the amount."""
        (state,) = (state for key, state in self.memory.periods.items() if key[0] == customer)
        written = sum(
            Fraction(it["rating"]["price"]["amount"])
            for it in self.rated
            if it["event"]["customer_id"] == customer
        )
        told = sum(
            Fraction(row["price"] or 0)
            for frame in self.frames
            for delta in frame["customers"]
            if delta["customer_id"] == customer
            for row in delta["rows"]
        )
        assert written == told == Fraction(state.amount_atto, 10**18)
        return format_atto(state.quantity_atto), format_atto(state.amount_atto)


def _sent(command: Mapping[str, Any] | bytes) -> tuple[bytes, bytes]:
    if isinstance(command, bytes):
        return b"steps", command
    return command["customer_id"].encode(), CODEC.encode("Correction", command)


def prices(partition: Partition) -> list[tuple[str, int, str]]:
    """(leg, revision, price) of every record."""
    ratings = [it["rating"] for it in partition.rated]
    return [(it["leg"], it["revision"], it["price"]["amount"]) for it in ratings]


__all__ = ["DAY_US", "HOUR_US", "Partition", "prices", "usage"]
