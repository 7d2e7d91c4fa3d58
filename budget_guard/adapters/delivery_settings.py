"""Settings of delivery, beside those of the channels themselves."""

from typing import Self

from pydantic import Field, model_validator

from budget_guard.core.delivery import Schedule
from runtime.settings import Section


class DeliverySettings(Section):
    """Section `delivery`. Times in the unit that each name says."""

    role: str = Field(
        default="ratestream_guard", description="as which PostgreSQL is written; empty: the login"
    )
    poll_ms: int = Field(
        default=1_000, ge=10, le=60_000, description="how often what is due is looked for; new alerts wake it"
    )
    retry_first_s: int = Field(
        default=2, ge=1, description="the first pause; the next are twice as long each"
    )
    retry_longest_s: int = Field(default=3_600, ge=1, description="also of what Retry-After may ask for")
    keep_trying_s: int = Field(default=259_200, ge=1, description="72 hours; then the alert is dead")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.retry_first_s > self.retry_longest_s:
            raise ValueError(
                f"retry_first_s {self.retry_first_s} is above retry_longest_s {self.retry_longest_s}"
            )
        return self

    @property
    def schedule(self) -> Schedule:
        """The same as a value of the core."""
        return Schedule(self.retry_first_s, self.retry_longest_s, self.keep_trying_s)
