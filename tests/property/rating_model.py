"""What the law of rating is tried with: records of every kind, the real tools, and what must come of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from pricing.compile import compile_book
from rate_book.source import Confirmed
from rater.adapters.rating import tools_for
from rater.core.batch import PartitionBatch
from rater.core.frames import frame_record
from rater.core.work import BatchResult, Record
from schemas.codec import CODEC
from tests.pooled_book import POOLED_BOOK, packs_amount, steps_amount
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS, RamMemory

Twist = Literal[
    "plain", "turned", "other", "undecodable", "left over", "bad quantity", "misrouted", "late", "early"
]
RATEABLE: frozenset[Twist] = frozenset({"plain", "turned", "other"})
# On the list; by graduated and volume prices over a month; by packages over a day.
CUSTOMERS = ("a", "steps", "packs")
TOOLS = tools_for(Confirmed(compile_book(POOLED_BOOK, 3, "hash"), NOW_US, 2**60), lambda _key: 0)


@dataclass(frozen=True)
class Said:
    """One record: which event of which customer, and how it is put. plain and turned say the same."""

    customer: str
    number: int
    twist: Twist

    @property
    def identity(self) -> tuple[str, int]:
        return (self.customer, self.number)

    @property
    def content(self) -> str:
        return "other" if self.twist == "other" else "plain"


def said_of(twists: Sequence[Twist] = get_args(Twist)) -> st.SearchStrategy[Said]:
    return st.builds(
        Said,
        st.sampled_from(CUSTOMERS),
        st.integers(min_value=0, max_value=4),
        # Mostly rateable ones: what is rejected must leave them alone.
        st.one_of(st.just("plain"), st.just("plain"), st.sampled_from(twists)),
    )


@cache
def bytes_of(said: Said) -> bytes:
    # All five: 9,500 and 750, beyond every tier; any two or three reach some.
    output = 90 + 30 * said.number
    usage = {"input_tokens": str(1000 + 450 * said.number), "output_tokens": str(output)}
    twist = said.twist
    if twist == "turned":
        usage = dict(reversed(usage.items()))
    elif twist == "other":
        usage["output_tokens"] = str(output + 1)
    elif twist == "bad quantity":
        usage["output_tokens"] = "-1"
    times = {"late": NOW_US - 36 * DAY_US, "early": NOW_US + DAY_US}
    event: dict[str, Any] = {
        "customer_id": said.customer,
        "source": "law",
        "event_id": f"event-{said.number}",
        # Over three days, so that digests lie in three buckets.
        "event_time_us": times.get(twist, NOW_US - said.number % 3 * DAY_US),
        "provider": "acme",
        "requested_model": "one",
        "usage_semantics": "inclusive",
        "usage": usage,
    }
    value = CODEC.encode("UsageEvent", event)
    return {"undecodable": value[:-1], "left over": value + b"\x00"}.get(twist, value)


def record_of(said: Said, offset: int) -> Record:
    key = b"someone else" if said.twist == "misrouted" else said.customer.encode()
    return Record(offset, NOW_US + offset, key, bytes_of(said))


@dataclass(frozen=True)
class Expected:
    """By the rules alone: for each customer its first rateable record of each identity, and the tallies."""

    winners: Mapping[str, list[Said]]
    rated: int
    duplicates: int
    rejected: int

    @property
    def values(self) -> dict[str, list[bytes]]:
        """Each customer's rated records: of its winners alone, in one straight pass."""
        return {
            customer: [
                value for _, value in straight([record_of(it, n) for n, it in enumerate(winners)]).rated
            ]
            for customer, winners in self.winners.items()
        }


def expected_of(stream: Iterable[Said]) -> Expected:
    winners: dict[tuple[str, int], Said] = {}
    duplicates = rejected = 0
    for said in stream:
        if said.twist not in RATEABLE:
            rejected += 1
        elif said.identity not in winners:
            winners[said.identity] = said
        elif winners[said.identity].content == said.content:
            duplicates += 1
        else:
            rejected += 1  # id_conflict
    by_customer: dict[str, list[Said]] = {}
    for said in winners.values():
        by_customer.setdefault(said.customer, []).append(said)
    return Expected(by_customer, len(winners), duplicates, rejected)


def straight(records: Sequence[Record]) -> BatchResult:
    """All in one batch, nothing known before."""
    memory = RamMemory()
    memory.values = {record.offset: record.value for record in records}
    return PartitionBatch(0, memory.head, WINDOWS, memory, TOOLS).run(
        records, [], "usage.events", "usage.corrections"
    )


def by_customer(rated: Iterable[tuple[bytes, bytes]]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for key, value in rated:
        found.setdefault(key.decode(), []).append(value)
    return found


def check_amounts_of_periods(rated: Iterable[tuple[bytes, bytes]]) -> None:
    """What pooled customers pay is P(Q) of each of their periods, whatever came in which order."""
    totals: dict[tuple[str, int], tuple[int, int, Fraction]] = {}
    for customer, values in by_customer(rated).items():
        for value in values:
            record = CODEC.decode("RatedUsage", value)
            usage, rating = record["event"]["usage"], record["rating"]
            key = (customer, rating["service_period"]["start_us"])
            given, made, paid = totals.get(key, (0, 0, Fraction(0)))
            totals[key] = (
                given + int(usage["input_tokens"]),
                made + int(usage["output_tokens"]),
                paid + Fraction(rating["price"]["amount"]),
            )
    for (customer, _), (given, made, paid) in totals.items():
        if customer != "a":
            assert paid == (steps_amount if customer == "steps" else packs_amount)(given, made)


def check_conservation(result: BatchResult) -> None:
    """received = rated + rejected + duplicates."""
    frame = frame_record(result, "p", "b")
    received = frame["events"]["to_offset"] - frame["events"]["from_offset"]
    assert received == frame["rated"] + frame["rejected"] + len(frame["duplicates"])
    assert frame["rated"] == sum(it["last_seq"] - it["first_seq"] + 1 for it in frame["customers"])
    assert frame["rated"] == sum(len(it["packed"]) // 32 for it in frame["digests"])
    assert frame["rated"] == sum(row["events"] for it in frame["customers"] for row in it["rows"])
