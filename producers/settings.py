"""Settings of the producers."""

from pydantic import Field

from runtime.settings import Section


class ProducersSettings(Section):
    """Section `producers`: how much may be on its way, and how long it is tried; times in seconds."""

    queue_messages_max: int = Field(default=100_000, ge=1, le=10_000_000)
    queue_mib_max: int = Field(default=64, ge=1, le=2_000)
    wait_s_max: float = Field(default=60, gt=0, description="for room in the queue, before giving up")
    delivery_s_max: float = Field(default=120, gt=1, description="one event is tried this long")
    flush_s_max: float = Field(default=120, gt=0, description="for the last acknowledgements")
