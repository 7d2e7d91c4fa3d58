"""Settings of the ledger; in this version of its verification."""

from dataclasses import dataclass
from typing import Self

from pydantic import Field

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


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Everything that the ledger needs to run."""

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
