"""Events decoded by the wire's rules."""

from collections.abc import Mapping
from typing import Any

from rater.core.rejection import Reject
from schemas.codec import CODEC
from schemas.errors import WireError
from schemas.event_rules import check_event
from schemas.reasons import TOO_LARGE
from schemas.topics import USAGE_EVENTS, topic

_EVENT_BYTES_MAX = topic(USAGE_EVENTS).value_bytes_max


def decode_event(value: bytes | None) -> Mapping[str, Any]:
    """The event of a record's value, checked.

    Raises:
        Reject: with the wire's reason.
    """
    if value is not None and len(value) > _EVENT_BYTES_MAX:
        raise Reject(TOO_LARGE, None, f"the event has {len(value)} bytes; the limit is {_EVENT_BYTES_MAX}")
    try:
        event = CODEC.decode("UsageEvent", value)
        check_event(event)
    except WireError as error:
        raise Reject(error.reason, error.field, str(error)) from error
    return event
