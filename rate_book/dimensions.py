"""The values of an event's declared dimensions: what sums are kept apart by."""

from collections.abc import Mapping, Sequence
from typing import Any

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


def priced_model(event: Mapping[str, Any]) -> str | None:
    """The model or SKU that prices are looked up by: billed, else served, else requested."""
    model: str | None = event["billed_model"] or event["served_model"] or event["requested_model"]
    return model


def dimension_values(event: Mapping[str, Any], names: Sequence[str]) -> tuple[str | None, ...]:
    """The event's value of each named dimension, in the order of the names; None where it has none."""
    return tuple([priced_model(event) if name == "model" else event[name] for name in names])
