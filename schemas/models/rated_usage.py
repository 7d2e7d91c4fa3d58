"""A usage event as it came and its rating, as finance and the ledger read it from usage.rated."""

from schemas.models.base import WireModel
from schemas.models.rating import Rating
from schemas.models.usage_event import UsageEvent


class RatedUsage(WireModel):
    event: UsageEvent
    rating: Rating
