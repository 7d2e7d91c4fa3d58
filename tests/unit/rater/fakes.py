"""A batch without bytes or prices: values are JSON, a rating is what the test says."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pricing.compile import CompiledBook
from pricing.rate import Pools, PoolState, Rating, Side
from rate_book.errors import NoBookError
from rater.adapters.corrector import WireCorrector
from rater.core.batch import PartitionBatch
from rater.core.frames import FrameEffects
from rater.core.identity import Known, unpack_entries
from rater.core.lateness import Windows
from rater.core.periods import PeriodKey
from rater.core.rejection import Reject
from rater.core.revisions import Revision, RunKey
from rater.core.work import BatchResult, Event, Head, RatedEvent, Record, Tools

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
NOW_US = 20_000 * DAY_US
WINDOWS = Windows(35 * DAY_US, 42 * DAY_US, 300 * SECOND_US, DAY_US)
FOREVER_US = 2**62
PRICED = Side("priced", 5 * 10**17, "USD")


def rating(
    cost: Side = PRICED, price: Side = PRICED, leaves: Sequence[tuple[str, int]] = (("tokens", 10**18),)
) -> Rating:
    return Rating(cost, price, (), tuple(leaves), (0, 31 * DAY_US))


def event(number: int = 1, customer: str = "c", **fields: Any) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "source": "s",
        "event_id": f"e{number}",
        "event_time_us": NOW_US,
        "project": None,
        "usage": {"a": "1", "b": "2"},
    } | fields


def value_of(record: Mapping[str, Any], schema: str = "shipped") -> bytes:
    """The record's bytes; another schema says the same in other bytes."""
    return f"{schema}|{json.dumps(record)}".encode()


def record(
    offset: int, said: Mapping[str, Any] | None = None, *, append_us: int = NOW_US, **fields: Any
) -> Record:
    said = event(offset) if said is None else said
    return Record(offset, append_us, said["customer_id"].encode(), value_of(said))._replace(**fields)


def decode(value: bytes | None) -> Event:
    if value is None or b"|" not in value:
        raise Reject("undecodable", "body", "no record")
    decoded: Event = json.loads(value.split(b"|", 1)[1])
    return decoded


def rate(said: Event, value: bytes, pools: Pools) -> RatedEvent:
    if "bad" in said["usage"]:
        raise Reject("bad_quantity", "usage.bad", "no number")
    return RatedEvent(rating(), lambda sequence: value + b"#%d" % sequence)


def no_book(version: int) -> CompiledBook:
    raise NoBookError(f"no version {version}")


TOOLS = Tools(
    decode=decode,
    partition_of=lambda key: 1 if key.startswith(b"other") else 0,
    rate=rate,
    dimensions=("project",),
    dimension_values=lambda said: (said["project"],),
    book_version=7,
    corrector=WireCorrector(no_book),
    horizon_us=FOREVER_US,
)


class RamMemory:
    """What frames say, in dictionaries; the reference for the local state."""

    def __init__(self) -> None:
        self.head = Head()
        self.digests: dict[bytes, Known] = {}
        self.sequences: dict[str, int] = {}
        self.periods: dict[PeriodKey, PoolState] = {}
        self.revisions: dict[bytes, Revision] = {}
        self.runs: dict[RunKey, PoolState] = {}
        self.values: dict[int, bytes | None] = {}

    def known(self, digests: Sequence[bytes], buckets: Sequence[int]) -> dict[bytes, Known]:
        assert len(digests) == len(buckets)
        return {digest: self.digests[digest] for digest in digests if digest in self.digests}

    def covers(self, append_us: int) -> bool:
        return append_us >= 0

    def last_sequences(self, customer_ids: Sequence[str]) -> dict[str, int]:
        return {name: self.sequences[name] for name in customer_ids if name in self.sequences}

    def period(self, key: PeriodKey) -> PoolState | None:
        return self.periods.get(key)

    def revision(self, digest: bytes) -> Revision | None:
        return self.revisions.get(digest)

    def run(self, key: RunKey) -> PoolState | None:
        return self.runs.get(key)

    def first_record(self, offset: int) -> bytes | None:
        return self.values.get(offset)

    def apply(self, effects: FrameEffects) -> None:
        for packed in effects.digests.values():
            self.digests.update(unpack_entries(packed))
        self.sequences.update(effects.last_sequences)
        self.periods.update(effects.periods)
        self.revisions.update(effects.revisions)
        for key, run_at in effects.runs.items():
            if run_at.closed:
                self.runs.pop(key, None)
            else:
                self.runs[key] = run_at.state
        self.head = effects.head


def run(
    events: Sequence[Record],
    corrections: Sequence[Record] = (),
    memory: RamMemory | None = None,
    tools: Tools = TOOLS,
    head: Head | None = None,
) -> BatchResult:
    memory = memory or RamMemory()
    batch = PartitionBatch(0, head or memory.head, WINDOWS, memory, tools)
    return batch.run(events, corrections, "usage.events", "usage.corrections")


def tools(**fields: Any) -> Tools:
    return replace(TOOLS, **fields)


def reasons(result: BatchResult) -> list[tuple[int, str]]:
    return [(it.record.offset, it.reason) for it in result.rejected]


def sequences(result: BatchResult) -> list[tuple[bytes, int]]:
    return [(key, int(value.rsplit(b"#", 1)[1])) for key, value in result.rated]


Rate = Callable[[Event, bytes, Pools], RatedEvent]
