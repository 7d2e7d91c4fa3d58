"""Why a call went to the model it went to, as the router tells."""

from typing import Annotated

from schemas.models.base import LIST, WireModel
from schemas.models.money import Money


class RoutingCandidate(WireModel):
    """One choice that the router had."""

    provider: str
    model: str
    estimated_cost: Money | None = None


class RoutingDecision(WireModel):
    router: str
    policy: str | None = None
    reason: str | None = None
    candidates: Annotated[tuple[RoutingCandidate, ...], LIST] = ()
    chosen_provider: str | None = None
    chosen_model: str | None = None
    fallback_of: str | None = None
    """The event_id of the attempt that this call replaces."""
