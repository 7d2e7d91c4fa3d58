"""Settings of the rater."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from runtime.settings import Section


class RaterSettings(Section):
    """Section `rater`. Times in the unit that each name says."""

    state_dir: Path | None = Field(default=None, description="default: .ratestream/rater; may be deleted")
    slot: int | None = Field(default=None, ge=0, lt=64, description="default: the lowest free one")
    group_id: str = Field(default="rater", min_length=1, description="the topic prefix is put in front")
    batch_records_max: int = Field(default=10_000, ge=1, le=100_000)
    batch_mib_max: int = Field(default=32, ge=1, le=1024)
    batch_wait_ms: int = Field(default=100, ge=1, le=10_000)
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    transaction_timeout_ms: int = Field(default=30_000, ge=2_000)
    max_poll_interval_ms: int = Field(default=900_000, ge=10_000, description="bounds a cold restore")
    cache_mib: int = Field(default=64, ge=1, description="RocksDB's block cache, for all partitions together")
    book_wait_s: int = Field(default=60, ge=1, description="how long to wait for a first rate book at start")
    book_poll_s: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _fencing(self) -> Self:
        # A new owner must find the old one's transaction still its own to wait for, not yet forgotten.
        if self.session_timeout_ms >= self.transaction_timeout_ms:
            raise ValueError(
                f"session_timeout_ms {self.session_timeout_ms} must be shorter than "
                f"transaction_timeout_ms {self.transaction_timeout_ms}"
            )
        return self
