"""Instants as people write them in a book, and as microseconds UTC since 1970."""

import re
from datetime import UTC, datetime, timedelta

from pricing.instants import instant_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$")
INSTANT_RULE = "must be an instant with its zone, like 2026-11-18T12:00:00Z"


def parse_instant(text: str) -> int:
    """Microseconds UTC. Raises ValueError: the text is no full instant with `Z` or an offset."""
    if not _INSTANT.match(text):
        raise ValueError(INSTANT_RULE)
    try:
        return (datetime.fromisoformat(text).astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:  # an offset may lead out of the years 1 to 9999
        raise ValueError(f"{INSTANT_RULE}: {error}") from error


def moment(instant_us: int) -> datetime:
    """The instant as a datetime in UTC, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=instant_us)


def format_from(instant_us: int | None) -> str:
    """The start of a period: None is since ever."""
    return "since ever" if instant_us is None else instant_text(instant_us)
