"""Settings of what takes usage.totals over into PostgreSQL."""

from pydantic import Field

from runtime.settings import Section


class TotalsSettings(Section):
    """Section `totals`. Times in the unit that each name says."""

    slot: int = Field(default=0, ge=0, lt=64, description="names this worker among those of the group")
    group_id: str = Field(default="totals", min_length=1, description="the topic prefix is put in front")
    role: str = Field(
        default="ratestream_totals_writer", description="as which PostgreSQL is written; empty: the login"
    )
    write_ms: int = Field(default=1_000, ge=10, le=60_000, description="how often PostgreSQL is written")
    batch_records_max: int = Field(default=20_000, ge=1, le=100_000)
    batch_mib_max: int = Field(default=32, ge=1, le=1024)
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    max_poll_interval_ms: int = Field(default=900_000, ge=10_000)
    postgres_wait_s: int = Field(
        default=300, ge=1, description="how long PostgreSQL may be away before the process stops"
    )
