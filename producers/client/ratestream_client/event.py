"""The usage event as a service writes it: a frozen value with the schema's fields in the schema's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Final, Literal

from ratestream_client.errors import BAD_QUANTITY, INVALID_FIELD, InvalidEvent
from ratestream_client.rules import INTEGER_DIGITS_MAX

Quantity = str | int | Decimal
"""An exact number: plain decimal text, int or Decimal; a float is refused, for it is not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """A plain non-negative decimal and its ISO 4217 code or declared credit unit."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingCandidate:
    provider: str
    model: str
    estimated_cost: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Why the call went to the model it went to; `fallback_of` is the event_id of the attempt it replaces."""

    router: str
    policy: str | None = None
    reason: str | None = None
    candidates: tuple[RoutingCandidate, ...] = ()
    chosen_provider: str | None = None
    chosen_model: str | None = None
    fallback_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """One metered call. Identity is (customer_id, source, event_id): publishing it again sends the same id.

    `event_time_us` is when the call started, in microseconds since 1970-01-01T00:00:00Z. `usage` maps meters,
    which name their unit, to quantities; leave out what the provider did not report, for absent and 0 differ.
    `usage_semantics` is `inclusive` where parts are counted in their whole (OpenAI, OpenTelemetry),
    `exclusive` where each meter excludes every other (Anthropic). Prices go by billed, else served, else
    requested model.
    """

    customer_id: str
    source: str
    event_id: str
    event_time_us: int
    query_id: str | None = None
    parent_event_id: str | None = None
    attempt: int | None = None
    project: str | None = None
    user_id: str | None = None
    product: str | None = None
    feature: str | None = None
    provider: str
    requested_model: str | None = None
    served_model: str | None = None
    billed_model: str | None = None
    region: str | None = None
    endpoint: str | None = None
    provider_account: str | None = None
    provider_project: str | None = None
    provider_key_id: str | None = None
    provider_request_id: str | None = None
    provider_response_id: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    status: Literal["unknown", "ok", "error", "refused", "cancelled"] = "ok"
    stream_complete: Literal["unknown", "not_streamed", "complete", "incomplete"] = "unknown"
    usage_semantics: Literal["inclusive", "exclusive"]
    usage: Mapping[str, Quantity]
    usage_quality: Literal["unknown", "provider", "estimated", "partial"] = "provider"
    provider_cost: Money | None = None
    query_complexity: str | None = None
    quality_tier: str | None = None
    compliance_tags: tuple[str, ...] = ()
    routing: RoutingDecision | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The event as the Avro writer takes it.

        Raises InvalidEvent for a quantity that is not exact, and for what the writer would take for something
        else: text for a list, a truth value or a float for a whole number.
        """
        record = {name: getattr(self, name) for name in _FIELDS}
        _check_long("event_time_us", self.event_time_us)
        if self.attempt is not None:
            _check_long("attempt", self.attempt)
        for name in ("context", "usage", "tags"):
            if not isinstance(record[name], Mapping):
                raise InvalidEvent(INVALID_FIELD, name, record[name], "a mapping")
        _check_items("compliance_tags", self.compliance_tags)
        record["usage"] = {meter: _quantity(meter, value) for meter, value in self.usage.items()}
        if self.provider_cost is not None:
            record["provider_cost"] = _plain(self.provider_cost)
        if self.routing is not None:
            record["routing"] = _plain(self.routing)
        return record


# Writing longer numbers as text takes long, or Python refuses it.
_QUANTITY_LIMIT: Final = 10**INTEGER_DIGITS_MAX
_QUANTITY_RULE: Final = (
    f"text, int or Decimal: an exact number, not negative, of at most {INTEGER_DIGITS_MAX} digits before the "
    "point"
)
_FIELDS: Final = tuple(one.name for one in fields(UsageEvent))


def _check_long(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise InvalidEvent(INVALID_FIELD, name, value, "a whole number of 64 bits")


def _check_items(name: str, value: object) -> None:
    if not isinstance(value, (tuple, list)):
        raise InvalidEvent(INVALID_FIELD, name, value, "a tuple or a list")


def _quantity(meter: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _QUANTITY_LIMIT:
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= INTEGER_DIGITS_MAX:
        return format(value, "f")
    raise InvalidEvent(BAD_QUANTITY, f"usage.{meter}", value, _QUANTITY_RULE)


def _plain(value: Money | RoutingCandidate | RoutingDecision) -> dict[str, Any]:
    record = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, RoutingDecision):
        _check_items("routing.candidates", value.candidates)
        record["candidates"] = [_plain(candidate) for candidate in value.candidates]
    elif isinstance(value, RoutingCandidate) and value.estimated_cost is not None:
        record["estimated_cost"] = _plain(value.estimated_cost)
    return record
