"""What prices and sums read of an event beside its usage: declared dimensions, and attributes (`event.*`)."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pricing.attributes import HAS_QUERY
from pricing.cards import ATTRIBUTE_PREFIX

# Fields of UsageEvent that may be declared; "model" is the one that the price was looked up by.
DIMENSION_FIELDS = frozenset(
    {
        "endpoint",
        "feature",
        "product",
        "project",
        "provider",
        "provider_account",
        "provider_key_id",
        "provider_project",
        "quality_tier",
        "query_complexity",
        "region",
        "source",
        "user_id",
    }
)

# Fields of UsageEvent that are attributes as they are: `event.status` is the field status.
ATTRIBUTE_FIELDS = frozenset(
    {
        "feature",
        "product",
        "project",
        "provider_account",
        "provider_project",
        "quality_tier",
        "query_complexity",
        "requested_model",
        "served_model",
        "source",
        "status",
        "stream_complete",
        "usage_quality",
        "user_id",
    }
)
_COMPLIANCE = f"{ATTRIBUTE_PREFIX}compliance."
_TAG = f"{ATTRIBUTE_PREFIX}tag."
_ATTRIBUTE_SETS_MAX = 64  # one a version of the book

Event = Mapping[str, Any]
Reader = Callable[[Event], str | None]


def priced_model(event: Mapping[str, Any]) -> str | None:
    """The model or SKU that prices are looked up by: billed, else served, else requested."""
    model: str | None = event["billed_model"] or event["served_model"] or event["requested_model"]
    return model


def dimension_values(event: Mapping[str, Any], names: Sequence[str]) -> tuple[str | None, ...]:
    """The event's value of each named dimension, in the order of the names; None where it has none."""
    return tuple([priced_model(event) if name == "model" else event[name] for name in names])


def is_attribute(key: str) -> bool:
    """Whether events have such an attribute: a book that names another one prices nothing by it."""
    name = key.removeprefix(ATTRIBUTE_PREFIX)
    known = key == HAS_QUERY or name in ATTRIBUTE_FIELDS
    return key != name and (known or any(key.startswith(it) and key != it for it in (_COMPLIANCE, _TAG)))


def with_attributes(context: Mapping[str, str], event: Event, attributes: Sequence[str]) -> dict[str, str]:
    """The context with exactly these attributes of the event; what it has not is absent.

    A producer's own context cannot forge one: what it says under such a key gives way.
    """
    joined = dict(context)
    for key, read in _readers(tuple(attributes)):
        value = read(event)
        if value is not None:
            joined[key] = value
        else:
            joined.pop(key, None)
    return joined


@lru_cache(maxsize=_ATTRIBUTE_SETS_MAX)
def _readers(attributes: tuple[str, ...]) -> tuple[tuple[str, Reader], ...]:
    return tuple((key, _reader(key)) for key in attributes)


def _reader(key: str) -> Reader:
    if key == HAS_QUERY:
        return lambda event: _yes_no(holds=bool(event["query_id"]))
    if key.startswith(_COMPLIANCE):
        tag = key.removeprefix(_COMPLIANCE)
        return lambda event: _yes_no(holds=tag in event["compliance_tags"])
    if key.startswith(_TAG):
        name = key.removeprefix(_TAG)
        return lambda event: event["tags"].get(name)
    field = key.removeprefix(ATTRIBUTE_PREFIX)
    if field in ATTRIBUTE_FIELDS:
        return lambda event: event[field]
    return lambda _event: None


def _yes_no(*, holds: bool) -> str:
    return "yes" if holds else "no"
