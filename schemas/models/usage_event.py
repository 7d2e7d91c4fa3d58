"""One metered call as services publish it on usage.events; its JSON form is in schemas/cloudevents.py."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schemas import cloudevents
from schemas.event_rules import check_event, check_usage
from schemas.models.base import LIST, Long, WireModel
from schemas.models.money import Money
from schemas.models.routing_decision import RoutingDecision


class UsageEvent(WireModel):
    """One model call (or image, audio minute, search, tool call). Identity: customer_id, source, event_id."""

    customer_id: str
    """Who pays; also the Kafka key."""
    source: str
    """The service that published the event."""
    event_id: str
    """Unique within customer and source; a retry sends the same id."""
    event_time_us: Long
    """When the call started: microseconds since 1970-01-01T00:00:00Z."""
    query_id: str | None = None
    """The customer's query that this call belongs to."""
    parent_event_id: str | None = None
    """The call that caused this one."""
    attempt: Long | None = None
    """1 for the first attempt, 2 for its first retry."""
    project: str | None = None
    user_id: str | None = None
    """A pseudonym, never an e-mail address."""
    product: str | None = None
    feature: str | None = None
    provider: str
    """As in the rate book: openai, anthropic, google ..."""
    requested_model: str | None = None
    served_model: str | None = None
    billed_model: str | None = None
    """The model or SKU the provider billed; prices go by billed, else served, else requested model."""
    region: str | None = None
    endpoint: str | None = None
    provider_account: str | None = None
    provider_project: str | None = None
    provider_key_id: str | None = None
    """The provider's id of the key, never the key."""
    provider_request_id: str | None = None
    provider_response_id: str | None = None
    context: dict[str, str] = Field(default_factory=dict)
    """What else selects a price: service_tier, processing, speed ..."""
    status: Literal["unknown", "ok", "error", "refused", "cancelled"] = "ok"
    stream_complete: Literal["unknown", "not_streamed", "complete", "incomplete"] = "unknown"
    usage_semantics: Literal["inclusive", "exclusive"]
    """inclusive: parts are counted in their whole; exclusive: each meter excludes every other."""
    usage: dict[str, str]
    """Meter (it names its unit) to quantity: a plain decimal of at most 38 digits. Absent and "0" differ."""
    usage_quality: Literal["unknown", "provider", "estimated", "partial"] = "provider"
    provider_cost: Money | None = None
    """What the provider says the call cost, kept beside the rated cost."""
    query_complexity: str | None = None
    quality_tier: str | None = None
    compliance_tags: Annotated[tuple[str, ...], LIST] = ()
    routing: RoutingDecision | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        record = self.to_avro()
        check_event(record)
        check_usage(record)
        return self

    @classmethod
    def from_cloudevent(cls, event: dict[str, Any]) -> Self:
        """The event of a CloudEvents 1.0 object as `schemas.cloudevents.parse` gives it.

        Raises schemas.errors.InvalidEvent naming the field as the JSON has it, the value and the rule.
        """
        record = cloudevents.record_of(event)
        with cloudevents.json_names():
            return cls.model_validate(record)

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """The event of one CloudEvents JSON text. Raises InvalidEvent."""
        return cls.from_cloudevent(cloudevents.parse(line))

    def to_cloudevent(self) -> dict[str, Any]:
        """The CloudEvents 1.0 object: time in UTC with microseconds, `data` without what is null or empty."""
        return cloudevents.of_record(self.to_avro())
