"""The one declaration of every topic: names, sizes, retention, cleanup, keys and writers.

`ratestream topics apply` creates topics from it, and every producer's and consumer's size limit is derived
from it, so that no client can write what another cannot read. Names here have no prefix; a cluster may add
one (`Topic.on`), so that several installations or tests share a broker.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
DAY_S: Final = 86_400

RECORD_SLACK_BYTES: Final = 64 * KIB  # key, headers and batch overhead beside the largest value
RETENTION_S: Final = 50 * DAY_S  # the replay window of 42 days and a week to notice and act
KEPT_SEGMENT_S: Final = DAY_S  # a record outlives its retention by at most one segment
COMPACTED_SEGMENT_S: Final = 3_600  # only closed segments are compacted, and a restore reads what is not
STATE_LAG_S: Final = (
    3_600  # the newer of two owners' values is told by its sequence, so both stay for a while
)

USAGE_EVENTS: Final = "usage.events"
USAGE_CORRECTIONS: Final = "usage.corrections"
USAGE_RATED: Final = "usage.rated"
USAGE_REJECTED: Final = "usage.rejected"
USAGE_DELTAS: Final = "usage.deltas"
RATER_STATE: Final = "rater.state"
USAGE_TOTALS: Final = "usage.totals"
BUDGET_ALERTS: Final = "budget.alerts"
BUDGET_STATE: Final = "budget.state"
AGGREGATOR_STATE: Final = "aggregator.state"
AGGREGATOR_PROBE: Final = "aggregator.probe"


class Cleanup(Enum):
    """How the broker forgets: by age, or by keeping the newest record of each key."""

    DELETE = "delete"
    COMPACT = "compact"


class KeyKind(Enum):
    """What a topic's record key holds, always UTF-8."""

    CUSTOMER = "customer_id"
    CUSTOMER_IF_KNOWN = "customer_id if known"
    CUSTOMER_AND_SCOPE = "customer_id and scope"
    TYPED = "typed: `c/` `p/` `r/` `u/` `h` `g`"
    TYPED_LIVE = "typed: `c/` `h/`"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the declaration.

    `value_bytes_max` bounds the value; `message_bytes_max`, the broker's limit on a batch, leaves room beside
    it. `retention_s` is None where nothing is deleted by age: a compacted topic, or one kept until further
    notice. `min_compaction_lag_s` is how long a compacted topic keeps every record, newest or not.
    """

    name: str
    key: KeyKind
    value: str
    value_bytes_max: int
    cleanup: Cleanup
    retention_s: int | None
    segment_s: int
    written_by: str
    min_compaction_lag_s: int | None = None

    @property
    def message_bytes_max(self) -> int:
        return self.value_bytes_max + RECORD_SLACK_BYTES

    def on(self, prefix: str) -> str:
        """The topic's name on a cluster whose names carry `prefix`."""
        return prefix + self.name

    def config(self, *, retention_s: int | None = None, segment_s: int | None = None) -> dict[str, str]:
        """The broker's topic settings; seconds given here replace the declared ones (tests shrink them).

        Raises ValueError where a compacted topic is given a retention.
        """
        if retention_s is not None and self.cleanup is Cleanup.COMPACT:
            raise ValueError(f"retention_s of {self.name} is {retention_s}; rule: a compacted topic has none")
        kept_s = self.retention_s if retention_s is None else retention_s
        config = {
            "cleanup.policy": self.cleanup.value,
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.message_bytes_max),
            "segment.ms": str((self.segment_s if segment_s is None else segment_s) * 1000),
            "retention.bytes": "-1",
            "compression.type": "producer",
        }
        if self.cleanup is Cleanup.DELETE:
            config["retention.ms"] = "-1" if kept_s is None else str(kept_s * 1000)
        if self.min_compaction_lag_s is not None:
            config["min.compaction.lag.ms"] = str(self.min_compaction_lag_s * 1000)
        return config


def _kept(name: str, key: KeyKind, value: str, value_bytes_max: int, written_by: str) -> Topic:
    return Topic(
        name, key, value, value_bytes_max, Cleanup.DELETE, RETENTION_S, KEPT_SEGMENT_S, written_by=written_by
    )


def _compacted(name: str, key: KeyKind, value: str, written_by: str) -> Topic:
    return Topic(name, key, value, 4 * MIB, Cleanup.COMPACT, None, COMPACTED_SEGMENT_S, written_by=written_by)


TOPICS: Final[tuple[Topic, ...]] = (
    _kept(USAGE_EVENTS, KeyKind.CUSTOMER, "UsageEvent", MIB, "producers, no transactions"),
    _kept(USAGE_CORRECTIONS, KeyKind.CUSTOMER, "Correction", 4 * MIB, "operators' tool only"),
    # Finance decides how long rated usage stays, and 50 days is the least; until it does, nothing is deleted.
    Topic(
        USAGE_RATED,
        KeyKind.CUSTOMER,
        "RatedUsage",
        4 * MIB,
        Cleanup.DELETE,
        None,
        KEPT_SEGMENT_S,
        written_by="rater, in a transaction",
    ),
    _kept(USAGE_REJECTED, KeyKind.CUSTOMER_IF_KNOWN, "RejectedUsage", 4 * MIB, "rater, same transaction"),
    _kept(USAGE_DELTAS, KeyKind.NONE, "FramePart", 512 * KIB, "rater, same transaction"),
    _compacted(
        RATER_STATE,
        KeyKind.TYPED,
        "CustomerState, PeriodState, RevisionState, RunState, PartitionHead, GenerationEnd",
        "rater, same transaction",
    ),
    _compacted(USAGE_TOTALS, KeyKind.CUSTOMER, "RunningTotals", "aggregator"),
    _kept(BUDGET_ALERTS, KeyKind.CUSTOMER, "BudgetAlert", 4 * MIB, "budget guard"),
    _compacted(BUDGET_STATE, KeyKind.CUSTOMER_AND_SCOPE, "BudgetState", "budget guard"),
    Topic(
        AGGREGATOR_STATE,
        KeyKind.TYPED_LIVE,
        "LiveCustomer, LivePartition",
        4 * MIB,
        Cleanup.COMPACT,
        None,
        COMPACTED_SEGMENT_S,
        written_by="aggregator",
        min_compaction_lag_s=STATE_LAG_S,
    ),
    # One transaction that is aborted and one that is committed at each start, to see that only one is read.
    Topic(
        AGGREGATOR_PROBE,
        KeyKind.NONE,
        "a start's own marks",
        4 * KIB,
        Cleanup.DELETE,
        DAY_S,
        KEPT_SEGMENT_S,
        written_by="aggregator, in transactions",
    ),
)

_BY_NAME: Final = {topic.name: topic for topic in TOPICS}

FETCH_RESPONSE_BYTES_MAX: Final = (
    50 * MIB
)  # librdkafka's own default: several partitions' batches in one answer
FETCH_RESPONSE_OVERHEAD_BYTES: Final = 512  # librdkafka demands this much beside the records


def topic(name: str) -> Topic:
    """The declared topic of that name, without prefix. Raises KeyError for a name that is not declared."""
    return _BY_NAME[name]


def producer_bytes_max(*names: str) -> int:
    """Largest message in bytes that a producer of these topics may be asked to send."""
    return max(_BY_NAME[name].message_bytes_max for name in names)


def batch_bytes_max(*names: str) -> int:
    """Largest batch in bytes that each of these topics accepts.

    The broker's limit is one on batches: a producer of several topics that fills batches to its largest
    message limit would have several small messages refused by the topic with the smallest limit.
    """
    return min(_BY_NAME[name].value_bytes_max for name in names)


def fetch_bytes_max(*names: str) -> int:
    """Largest batch in bytes that a consumer of these topics must be able to take."""
    return max(_BY_NAME[name].message_bytes_max for name in names)


def producer_limits(*names: str) -> dict[str, int]:
    """Size settings (librdkafka) of a producer of these topics."""
    return {"message.max.bytes": producer_bytes_max(*names), "batch.size": batch_bytes_max(*names)}


def consumer_limits(*names: str) -> dict[str, int]:
    """Size settings (librdkafka) of a consumer of these topics."""
    fetch = fetch_bytes_max(*names)
    response = max(FETCH_RESPONSE_BYTES_MAX, fetch)
    return {
        "message.max.bytes": fetch,
        "fetch.message.max.bytes": fetch,
        "fetch.max.bytes": response,
        "receive.message.max.bytes": response + FETCH_RESPONSE_OVERHEAD_BYTES,
    }
