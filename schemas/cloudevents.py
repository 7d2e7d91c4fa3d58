"""UsageEvent as JSON: CloudEvents 1.0 in structured mode, read without floats, faults named by JSON path.

{"specversion": "1.0", "id": event_id, "source": source, "type": "ai.usage.v1", "subject": customer_id,
"time": RFC 3339 of event_time_us, "data": {all other fields}}
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from schemas import reasons
from schemas.errors import InvalidEvent, WireError
from schemas.instants import format_instant, parse_instant

SPEC_VERSION: Final = "1.0"
TYPE: Final = "ai.usage.v1"
CONTENT_TYPE: Final = "application/json"

_ATTRIBUTE_OF: Final = {
    "event_id": "id",
    "source": "source",
    "customer_id": "subject",
    "event_time_us": "time",
}
_FIXED: Final = {"specversion": SPEC_VERSION, "type": TYPE}
_KNOWN: Final = {*_FIXED, *_ATTRIBUTE_OF.values(), "data", "datacontenttype", "dataschema"}
_EXPONENT_MAX: Final = 38  # beyond it a number has more digits than any quantity or amount may have


def parse(line: str | bytes) -> dict[str, Any]:
    """The JSON object of a line: whole numbers as int, others as Decimal. Raises InvalidEvent."""
    try:
        event = json.loads(
            line,
            parse_int=_whole_number,
            parse_float=Decimal,
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
    except InvalidEvent:
        raise
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidEvent(reasons.INVALID_FIELD, "line", line, f"one JSON object ({error})") from error
    if not isinstance(event, dict):
        raise InvalidEvent(reasons.INVALID_FIELD, "line", line, "one JSON object")
    _check_unicode(event, line)
    return event


def _check_unicode(event: dict[str, Any], line: str | bytes) -> None:
    """JSON can name half of a character, which no text on the wire can hold."""
    try:
        json.dumps(event, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.start + 1]
        rule = f"Unicode text; {half!a} is half of a character (a lone surrogate)"
        raise InvalidEvent(reasons.INVALID_FIELD, "line", line, rule) from error


def record_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """UsageEvent's fields from a CloudEvents object, types as yet unchecked. Raises InvalidEvent."""
    _check_attributes(event)
    data, time = event.get("data"), event.get("time")
    if not isinstance(data, dict):
        raise InvalidEvent(reasons.INVALID_FIELD, "data", data, "an object")
    if not isinstance(time, str):
        raise InvalidEvent(reasons.INVALID_FIELD, "time", time, "an RFC 3339 instant as a string")
    for field, attribute in _ATTRIBUTE_OF.items():
        if field in data:
            raise InvalidEvent(
                reasons.INVALID_FIELD,
                f"data.{field}",
                data[field],
                f"absent; it is the attribute {attribute}",
            )
    record = {field: event[name] for field, name in _ATTRIBUTE_OF.items() if name in event}
    return record | _numbers_as_text(data) | {"event_time_us": parse_instant(time, "time")}


def _check_attributes(event: Mapping[str, Any]) -> None:
    for attribute in event:
        if attribute not in _KNOWN:
            rule = f"one of {', '.join(sorted(_KNOWN))}; what is your own belongs into data.tags"
            raise InvalidEvent(reasons.INVALID_FIELD, "attribute", attribute, rule)
    for attribute, value in _FIXED.items():
        if event.get(attribute) != value:
            raise InvalidEvent(reasons.INVALID_FIELD, attribute, event.get(attribute), f"{value!r}")
    content_type = event.get("datacontenttype", CONTENT_TYPE)
    # Parameters and letter case say nothing of the data, which stands here as JSON already.
    if not isinstance(content_type, str) or content_type.split(";")[0].strip().lower() != CONTENT_TYPE:
        raise InvalidEvent(reasons.INVALID_FIELD, "datacontenttype", content_type, CONTENT_TYPE)
    if not isinstance(event.get("dataschema", ""), str):
        raise InvalidEvent(reasons.INVALID_FIELD, "dataschema", event["dataschema"], "a URI as a string")


def of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The CloudEvents object of a UsageEvent record; what is null or an empty collection is left out."""
    data = {
        field: value
        for field, value in record.items()
        if field not in _ATTRIBUTE_OF and (field == "usage" or value not in (None, {}, (), []))
    }
    return {
        "specversion": SPEC_VERSION,
        "id": record["event_id"],
        "source": record["source"],
        "type": TYPE,
        "subject": record["customer_id"],
        "time": format_instant(record["event_time_us"]),
        "data": data,
    }


@contextmanager
def json_names() -> Iterator[None]:
    """Turns what the model finds wrong into InvalidEvent, with the field as it stands in the JSON."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        broken = first.get("ctx", {}).get("error")
        if isinstance(broken, WireError):
            renamed = InvalidEvent(broken.reason, json_path(broken.field), "", broken.rule)
            renamed.value = broken.value
            renamed.args = (f"{renamed.field} is {renamed.value}; rule: {renamed.rule}",)
            raise renamed from error
        field = json_path(".".join(str(part) for part in first["loc"]))
        value = "absent" if first["type"] == "missing" else first["input"]
        raise InvalidEvent(reasons.INVALID_FIELD, field, value, first["msg"]) from error


def json_path(field: str) -> str:
    """A UsageEvent field's place in the JSON form."""
    return _ATTRIBUTE_OF.get(field, f"data.{field}")


def _numbers_as_text(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with JSON numbers as decimal text where the field holds quantities or amounts, nowhere else."""
    record = dict(data)
    if isinstance(data.get("usage"), dict):
        record["usage"] = {
            meter: _text(value, f"data.usage.{meter}") for meter, value in data["usage"].items()
        }
    if isinstance(data.get("provider_cost"), dict):
        record["provider_cost"] = _money(data["provider_cost"], "data.provider_cost")
    routing = data.get("routing")
    if isinstance(routing, dict) and isinstance(routing.get("candidates"), list):
        record["routing"] = routing | {"candidates": [_candidate(one) for one in routing["candidates"]]}
    return record


def plain_text(number: Decimal) -> str | None:
    """The number without exponent, exactly; None where it has more digits than any quantity may have."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _EXPONENT_MAX or number.adjusted() > _EXPONENT_MAX:
        return None
    return format(number, "f")


def _candidate(candidate: object) -> object:
    if isinstance(candidate, dict) and isinstance(candidate.get("estimated_cost"), dict):
        cost = _money(candidate["estimated_cost"], "data.routing.candidates.estimated_cost")
        return candidate | {"estimated_cost": cost}
    return candidate


def _money(money: dict[str, Any], field: str) -> dict[str, Any]:
    return money | {"amount": _text(money["amount"], f"{field}.amount")} if "amount" in money else money


def _text(value: object, field: str) -> object:
    """A number's plain decimal text, exactly; anything else as it is."""
    if isinstance(value, Decimal):
        text = plain_text(value)
        if text is None:
            raise InvalidEvent(reasons.BAD_QUANTITY, field, str(value), "a decimal of at most 38 digits")
        return text
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole_number(digits: str) -> int | Decimal:
    """An int has no -0, so that its sign would be lost, and a quantity with a sign is refused."""
    return Decimal(digits) if digits == "-0" else int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different: of two equal ones JSON readers keep either."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidEvent(reasons.INVALID_FIELD, "key", twice, "once in its object")
    return members


def _no_number(constant: str) -> NoReturn:
    raise InvalidEvent(reasons.INVALID_FIELD, "number", constant, "a finite decimal number")
