"""Settings of the ledger: of its verification, and of the service."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from runtime.settings import KafkaSettings, PostgresSettings, Section, SettingsLoader


class VerifySettings(Section):
    """How long verification waits, in seconds."""

    open_transaction_wait_s: float = Field(
        default=45,
        gt=0,
        description="above the transaction time-out: one that stays open longer is a finding",
    )
    stalled_s: float = Field(
        default=30, gt=0, description="give up when a partition brings nothing for so long"
    )


class SinkSettings(Section):
    """Section `ledger`. Times in the unit that each name says."""

    slot: int = Field(default=0, ge=0, lt=64, description="names this worker among those of the group")
    group_id: str = Field(default="ledger", min_length=1, description="the topic prefix is put in front")
    role: str = Field(
        default="ratestream_ledger_writer", description="as which PostgreSQL is written; empty: the login"
    )
    begin: Literal["complete", "held"] = Field(
        default="complete",
        description="an empty ledger needs usage.rated from its first record, or takes what is left of it",
    )
    batch_records_max: int = Field(default=20_000, ge=1, le=100_000)
    batch_mib_max: int = Field(default=48, ge=1, le=1024)
    batch_wait_ms: int = Field(default=200, ge=1, le=10_000)
    busy_wait_ms: int = Field(
        default=2_000,
        ge=0,
        le=30_000,
        description="in place of batch_wait_ms where more than 1,000 records a second come: half the CPU",
    )
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    max_poll_interval_ms: int = Field(default=900_000, ge=10_000)
    postgres_wait_s: int = Field(
        default=300, ge=1, description="how long PostgreSQL may be away before the process stops"
    )
    days_ahead: int = Field(default=7, ge=1, le=60, description="partitions made before their days come")

    @model_validator(mode="after")
    def _polled(self) -> Self:
        if self.postgres_wait_s * 1000 >= self.max_poll_interval_ms:
            raise ValueError(
                f"postgres_wait_s {self.postgres_wait_s} must be shorter than "
                f"max_poll_interval_ms {self.max_poll_interval_ms}"
            )
        return self


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Everything that verification needs."""

    kafka: KafkaSettings
    postgres: PostgresSettings
    verify: VerifySettings

    @classmethod
    def load(cls, loader: SettingsLoader) -> Self:
        """The sections [kafka], [postgres] and [verify]. Raises SettingsError."""
        return cls(
            loader.section("kafka", KafkaSettings),
            loader.section("postgres", PostgresSettings),
            loader.section("verify", VerifySettings),
        )
