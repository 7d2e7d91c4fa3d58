"""Settings of the aggregator."""

from pathlib import Path

from pydantic import Field

from runtime.settings import Section


class AggregatorSettings(Section):
    """Section `aggregator`. Times in the unit that each name says."""

    state_dir: Path | None = Field(
        default=None, description="default: .ratestream/aggregator; may be deleted"
    )
    slot: int | None = Field(default=None, ge=0, lt=64, description="default: the lowest free one")
    group_id: str = Field(default="aggregator", min_length=1, description="the topic prefix is put in front")
    publish_ms: int = Field(
        default=50, ge=1, le=10_000, description="totals of one customer at most so often"
    )
    commit_ms: int = Field(default=500, ge=10, le=60_000)
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    cache_customers: int = Field(default=20_000, ge=1, description="decoded states kept in memory")
    cache_mib: int = Field(default=16, ge=1, description="RocksDB's block cache, for all partitions together")
    repair_ms: int = Field(default=500, ge=10, description="how often the ledger is asked for repairs")
    book_wait_s: int = Field(default=60, ge=1, description="how long to wait for a first rate book at start")
    book_poll_s: int = Field(default=5, ge=1)
