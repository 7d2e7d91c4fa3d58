"""Rules of a usage event beyond its types, a copy of the application's schemas/event_rules.py.

A test holds the two equal, so change both.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final

from ratestream_client.errors import BAD_QUANTITY, INVALID_FIELD, InvalidEvent

# customer_id, source and event_id stand together in the ledger's keys. A PostgreSQL index row takes 2,704
# bytes at most, and a character up to 4: (128 + 128 + 256) * 4 = 2,048 leaves room for the other columns.
STRING_CHARACTERS_MAX: Final[Mapping[str, int]] = {
    "customer_id": 128,
    "source": 128,
    "event_id": 256,
    "query_id": 256,
    "parent_event_id": 256,
    "project": 128,
    "user_id": 128,
    "product": 128,
    "feature": 128,
    "provider": 128,
    "requested_model": 256,
    "served_model": 256,
    "billed_model": 256,
    "region": 128,
    "endpoint": 256,
    "provider_account": 256,
    "provider_project": 256,
    "provider_key_id": 256,
    "provider_request_id": 256,
    "provider_response_id": 256,
    "query_complexity": 128,
    "quality_tier": 128,
}
ROUTING_CHARACTERS_MAX: Final[Mapping[str, int]] = {
    "router": 128,
    "policy": 256,
    "reason": 1024,
    "chosen_provider": 128,
    "chosen_model": 256,
    "fallback_of": 256,
}
CANDIDATE_CHARACTERS_MAX: Final[Mapping[str, int]] = {"provider": 128, "model": 256}
MAP_ENTRIES_MAX: Final[Mapping[str, int]] = {"context": 64, "usage": 128, "tags": 64}
MAP_KEY_CHARACTERS_MAX: Final = 64
MAP_VALUE_CHARACTERS_MAX: Final = 256
COMPLIANCE_TAGS_MAX: Final = 64
COMPLIANCE_TAG_CHARACTERS_MAX: Final = 64
CANDIDATES_MAX: Final = 64
CURRENCY_CHARACTERS_MAX: Final = 16  # ISO 4217, or a declared credit unit
INTEGER_DIGITS_MAX: Final = 20
FRACTION_DIGITS_MAX: Final = 18
DECIMAL_RULE: Final = (
    f"a plain decimal without sign or exponent, at most {INTEGER_DIGITS_MAX} digits before the point and "
    f"{FRACTION_DIGITS_MAX} after"
)
NOT_EMPTY: Final = ("customer_id", "source", "event_id", "provider")
FIELDS_IN_CONTEXT: Final = ("region", "endpoint")
"""Fields of their own that select prices beside the context, and so are no keys of it."""

_DIGITS: Final = frozenset("0123456789")
_FEW_ENTRIES: Final = min(COMPLIANCE_TAGS_MAX, *MAP_ENTRIES_MAX.values())
_STRINGS: Final = itemgetter(*STRING_CHARACTERS_MAX)
_SHORT_CHARACTERS: Final = min(
    MAP_KEY_CHARACTERS_MAX, COMPLIANCE_TAG_CHARACTERS_MAX, *STRING_CHARACTERS_MAX.values()
)


def check_event(event: Mapping[str, Any]) -> None:
    """Refuse a decoded UsageEvent that breaks a rule. Raises InvalidEvent with the first field that does.

    Nearly every event holds only short strings, so all of them are measured together first, and one by one
    only where any is long or holds a NUL.
    """
    context, usage, tags = event["context"], event["usage"], event["tags"]
    texts = [text for text in _STRINGS(event) if text]
    texts += context
    texts += context.values()
    texts += usage
    texts += usage.values()
    if tags:
        texts += tags
        texts += tags.values()
    texts += event["compliance_tags"]
    if max(map(len, texts), default=0) > _SHORT_CHARACTERS or "\0" in "".join(texts):
        _check_each(event)
    if not (event["customer_id"] and event["source"] and event["event_id"] and event["provider"]):
        _check_not_empty(event)
    if len(context) + len(usage) + len(tags) + len(event["compliance_tags"]) > _FEW_ENTRIES:
        _check_sizes(event)
    if "region" in context or "endpoint" in context:
        _check_context_keys(context)
    if event["attempt"] is not None and event["attempt"] < 1:
        raise InvalidEvent(INVALID_FIELD, "attempt", event["attempt"], "1 or more, or null")
    if event["provider_cost"] is not None:
        _check_money("provider_cost", event["provider_cost"])
    if event["routing"] is not None:
        _check_routing(event["routing"])


def check_usage(event: Mapping[str, Any]) -> None:
    """Refuse a quantity that is no plain decimal. Raises InvalidEvent with reason bad_quantity.

    For producers, so that the caller hears it at once; that the counts fit together is for the rater to say.
    """
    for meter, quantity in event["usage"].items():
        if not _is_plain_decimal(quantity):
            raise InvalidEvent(BAD_QUANTITY, f"usage.{meter}", quantity, DECIMAL_RULE)


def _is_plain_decimal(text: str) -> bool:
    whole, point, fraction = text.partition(".")
    return (
        0 < len(whole) <= INTEGER_DIGITS_MAX
        and len(fraction) <= FRACTION_DIGITS_MAX
        and bool(fraction or not point)
        and _DIGITS.issuperset(whole)
        and _DIGITS.issuperset(fraction)
    )


def _check_each(event: Mapping[str, Any]) -> None:
    for field, characters_max in STRING_CHARACTERS_MAX.items():
        _check_text(field, event[field], characters_max)
    for field in MAP_ENTRIES_MAX:
        for key, value in event[field].items():
            _check_text(f"{field} key", key, MAP_KEY_CHARACTERS_MAX)
            _check_text(f"{field}.{key}", value, MAP_VALUE_CHARACTERS_MAX)
    for tag in event["compliance_tags"]:
        _check_text("compliance_tags", tag, COMPLIANCE_TAG_CHARACTERS_MAX)


def _check_text(field: str, text: str | None, characters_max: int) -> None:
    if text is None:
        return
    if len(text) > characters_max:
        raise InvalidEvent(
            INVALID_FIELD, field, text, f"at most {characters_max} characters, it has {len(text)}"
        )
    if "\0" in text:
        raise InvalidEvent(INVALID_FIELD, field, text, "no NUL character")


def _check_not_empty(event: Mapping[str, Any]) -> None:
    for field in NOT_EMPTY:
        if not event[field]:
            raise InvalidEvent(INVALID_FIELD, field, event[field], "not empty")


def _check_context_keys(context: Mapping[str, str]) -> None:
    for key in FIELDS_IN_CONTEXT:
        if key in context:
            rule = f"absent; it is the field {key}, which selects prices as the context does"
            raise InvalidEvent(INVALID_FIELD, f"context.{key}", context[key], rule)


def _check_sizes(event: Mapping[str, Any]) -> None:
    for field, entries_max in MAP_ENTRIES_MAX.items():
        _check_size(field, len(event[field]), entries_max)
    _check_size("compliance_tags", len(event["compliance_tags"]), COMPLIANCE_TAGS_MAX)


def _check_size(field: str, entries: int, entries_max: int) -> None:
    if entries > entries_max:
        raise InvalidEvent(INVALID_FIELD, f"size of {field}", entries, f"at most {entries_max} entries")


def _check_money(field: str, money: Mapping[str, str]) -> None:
    amount, currency = money["amount"], money["currency"]
    if not _is_plain_decimal(amount):
        raise InvalidEvent(INVALID_FIELD, f"{field}.amount", amount, DECIMAL_RULE)
    if not currency:
        raise InvalidEvent(INVALID_FIELD, f"{field}.currency", currency, "not empty")
    _check_text(f"{field}.currency", currency, CURRENCY_CHARACTERS_MAX)


def _check_routing(routing: Mapping[str, Any]) -> None:
    for field, characters_max in ROUTING_CHARACTERS_MAX.items():
        _check_text(f"routing.{field}", routing[field], characters_max)
    _check_size("routing.candidates", len(routing["candidates"]), CANDIDATES_MAX)
    for number, candidate in enumerate(routing["candidates"]):
        prefix = f"routing.candidates[{number}]"
        for field, characters_max in CANDIDATE_CHARACTERS_MAX.items():
            _check_text(f"{prefix}.{field}", candidate[field], characters_max)
        if candidate["estimated_cost"] is not None:
            _check_money(f"{prefix}.estimated_cost", candidate["estimated_cost"])
