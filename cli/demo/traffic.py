"""What the demo publishes: a real trace as usage events, some twice, and events that must be rejected."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.demo.corrections import late_event
from cli.demo.plans import PLANS
from schemas.codec import CODEC

REPEATED_EVERY = 40
UNPRICED = 5
_UNKNOWN = "house-model-7"
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message for usage.events: the key, the value, and why it must be rejected, if it must."""

    key: str
    value: bytes
    reason: str | None = None


def message_of(event: Mapping[str, Any]) -> Message:
    """An event as a service would publish it."""
    return Message(event["customer_id"], CODEC.encode("UsageEvent", event))


def unpriced_messages(sample: dict[str, Any]) -> list[Message]:
    """Calls of a model that no card has: money, so rated as unpriced, never rejected and never 0."""
    unknown = sample | {"requested_model": "house-model-7", "served_model": None}
    return [message_of(unknown | {"event_id": f"unpriced-{number}"}) for number in range(UNPRICED)]


def bad_messages(sample: dict[str, Any], now_us: int) -> list[Message]:
    """One message for each way in which an event can be bad. `sample` has been published before."""
    customer = sample["customer_id"]
    whole = CODEC.encode("UsageEvent", sample)

    def changed(number: int, reason: str, **fields: Any) -> Message:
        event = sample | {"event_id": f"bad-{number}"} | fields
        return Message(customer, CODEC.encode("UsageEvent", event), reason)

    return [
        Message(customer, b"not an event at all", "undecodable"),
        Message(customer, whole + b"\x00", "undecodable"),
        Message(customer, whole[:2] + b"\x07" * 8 + whole[10:], "unknown_schema"),
        changed(1, "invalid_field", source=""),
        changed(2, "bad_quantity", usage={"input_tokens": "-5"}),
        changed(3, "bad_quantity", usage={"input_tokens": "NaN"}),
        changed(4, "bad_quantity", usage={"input_tokens": "9" * 39}),
        changed(
            5,
            "impossible_counts",
            usage_semantics="inclusive",
            usage={"input_tokens": "100", "cache_read_tokens": "101"},
        ),
        changed(6, "too_late", event_time_us=now_us - 36 * _DAY_US),
        changed(7, "in_future", event_time_us=now_us + _HOUR_US),
        Message("somebody-else", CODEC.encode("UsageEvent", sample | {"event_id": "bad-8"}), "misrouted"),
        Message(
            customer, CODEC.encode("UsageEvent", sample | {"usage": {"input_tokens": "1"}}), "id_conflict"
        ),
    ]


@dataclass(frozen=True, slots=True)
class Plan:
    """All messages in order, and what must become of them."""

    messages: Sequence[Message]
    rated: int
    duplicates: int
    rejected: Counter[str]

    @property
    def received(self) -> int:
        return len(self.messages)


def query_event(call: Mapping[str, Any]) -> dict[str, Any]:
    """The query that a call belongs to, as the service publishes it for a customer who pays by the query."""
    return dict(call) | {
        "event_id": f"{call['query_id']}-root",
        "parent_event_id": None,
        "attempt": None,
        "provider": "own",
        "requested_model": None,
        "served_model": None,
        "billed_model": None,
        "provider_account": None,
        "provider_project": None,
        "provider_request_id": None,
        "provider_response_id": None,
        "context": {},
        "usage_semantics": "inclusive",
        "usage": {"queries": "1"},
        "routing": None,
        "tags": {"role": "query"},
    }


def sample_of(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last event of a customer on the usual plan."""
    return next(event for event in reversed(events) if event["customer_id"] not in PLANS)


def plan(events: Sequence[dict[str, Any]], now_us: int, per_query: Collection[str] = ()) -> Plan:
    """The trace's events, each 40th of them twice, then unpriced, late and bad ones.

    `per_query`: customers whose queries are published as well, each with its first call.
    """
    messages: list[Message] = []
    roots: set[str] = set()
    for number, event in enumerate(events):
        if event["customer_id"] in per_query and event["query_id"] not in roots:
            roots.add(event["query_id"])
            messages.append(message_of(query_event(event)))
        message = message_of(event)
        messages.append(message)
        if number % REPEATED_EVERY == 0:
            messages.append(message)
    sample = sample_of(events)
    unpriced = [*unpriced_messages(sample), message_of(late_event(sample))]
    bad = bad_messages(sample, now_us)
    rated = len(events) + len(roots)
    return Plan(
        [*messages, *unpriced, *bad],
        rated=rated + len(unpriced),
        duplicates=len(messages) - rated,
        rejected=Counter(message.reason for message in bad if message.reason is not None),
    )
