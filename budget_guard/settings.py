"""Settings of the budget guard; those of delivery and of its channels are beside their adapters."""

from typing import Self

from pydantic import Field, model_validator

from runtime.settings import Section


class GuardSettings(Section):
    """Section `guard`. Times in the unit that each name says."""

    slot: int = Field(default=0, ge=0, lt=64, description="names this guard among those of the group")
    group_id: str = Field(default="guard", min_length=1, description="the topic prefix is put in front")
    role: str = Field(
        default="ratestream_guard", description="as which PostgreSQL is written; empty: the login"
    )
    batch_records_max: int = Field(default=2_000, ge=1, le=100_000)
    batch_mib_max: int = Field(default=32, ge=1, le=1024)
    batch_wait_ms: int = Field(default=20, ge=1, le=10_000)
    commit_ms: int = Field(default=500, ge=10, le=60_000, description="how often offsets go to Kafka")
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    max_poll_interval_ms: int = Field(default=600_000, ge=10_000)
    budget_poll_s: int = Field(default=2, ge=1, le=60)
    firings_kept_s: int = Field(
        default=30, ge=1, description="what fired is read again after so long: another guard may have written"
    )
    infrastructure_wait_s: int = Field(
        default=300, ge=1, description="how long PostgreSQL or Kafka may be away before the process stops"
    )
    reconcile_s: int = Field(default=60, ge=1, description="between two rounds of the reconciler")
    late_s: int = Field(
        default=15,
        ge=1,
        description="an alert that the ledger demands is late when it is missing for so long",
    )
    stale_s: int = Field(
        default=60, ge=1, description="totals behind the ledger for so long are asked to be built anew"
    )
    details_s: int = Field(
        default=3_600, ge=1, description="how long the crossing event is looked for in the ledger"
    )

    @model_validator(mode="after")
    def _polled(self) -> Self:
        if self.infrastructure_wait_s * 1000 >= self.max_poll_interval_ms:
            raise ValueError(
                f"infrastructure_wait_s {self.infrastructure_wait_s} must be shorter than "
                f"max_poll_interval_ms {self.max_poll_interval_ms}"
            )
        return self


class OperationsSettings(Section):
    """Section `operations`: when operators are told of the pipeline itself. Each for `for_s` on end."""

    look_s: int = Field(default=10, ge=1)
    for_s: int = Field(default=60, ge=0)
    rater_group_id: str = Field(default="rater", min_length=1, description="as section rater has it")
    rater_lag_records: int = Field(default=50_000, ge=1, description="events and corrections not yet rated")
    ledger_lag_records: int = Field(default=50_000, ge=1, description="rated records not yet in the ledger")
    totals_lag_records: int = Field(default=5_000, ge=1, description="totals that no guard has looked at")
    rejects: int = Field(default=100, ge=1, description="records rejected within `rejects_s`")
    rejects_s: int = Field(default=300, ge=1)
