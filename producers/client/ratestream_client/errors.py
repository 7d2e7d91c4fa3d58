"""What publishing can end in besides success; the class says what the caller does.

EmitterError
├── InvalidEvent     the event breaks a rule and was not queued: correct the caller
├── QueueFull        the event was not queued in time: keep it and try again, or shed load
├── NotQueued        the producer can send nothing any more: make a new Emitter, emit the event again
└── Unacknowledged   queued events without acknowledgement, in `report.unacknowledged`: emit them again
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ratestream_client.report import Report

INVALID_FIELD: Final = "invalid_field"
BAD_QUANTITY: Final = "bad_quantity"

_VALUE_SHOWN_CHARACTERS_MAX: Final = 80


class EmitterError(Exception):
    """Any failure to publish usage. No event that raised one has been acknowledged."""


class InvalidEvent(EmitterError, ValueError):
    """The event breaks a rule and was not queued; `reason` is the rater's code for the same."""

    def __init__(self, reason: str, field: str, value: object, rule: str) -> None:
        self.reason = reason
        self.field = field
        self.value = _shown(value)
        self.rule = rule
        super().__init__(f"{field} is {self.value}; rule: {rule}")


def _shown(value: object) -> str:
    try:
        return repr(value)[:_VALUE_SHOWN_CHARACTERS_MAX]
    except ValueError:  # Python writes no int of more than 4,300 digits
        return f"{type(value).__name__} too long to show"


class QueueFull(EmitterError):
    """The queue had no room for the event within the time allowed: the broker is slower than the service."""


class NotQueued(EmitterError):
    """The producer refused the event for good: it has failed fatally, or is closed."""


class Unacknowledged(EmitterError):
    """Some queued events were not acknowledged; emitting them again is safe, for their ids stay the same."""

    def __init__(self, report: Report) -> None:
        self.report = report
        missing = report.unacknowledged
        first = f"; the first: {missing[0].why}" if missing else ""
        super().__init__(f"{len(missing)} of {report.emitted} events were not acknowledged{first}")
