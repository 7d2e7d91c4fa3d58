"""Errors of the wire; each says which record to refuse and why, none is a reason to stop the process.

WireError
├── Undecodable      bytes that are not one whole record
├── UnknownSchema    a fingerprint that this build does not know
├── Unencodable      a record that does not fit its schema: a bug of the writer
└── InvalidEvent     a decoded event that breaks a rule of schemas/event_rules.py
"""

from typing import Final

from schemas import reasons

VALUE_SHOWN_CHARACTERS_MAX: Final = 80


def shown(value: object) -> str:
    """The value as an error shows it: escaped (no NUL, no line break), at most 80 characters."""
    text = repr(value[: VALUE_SHOWN_CHARACTERS_MAX + 1]) if isinstance(value, str | bytes) else repr(value)
    if len(text) > VALUE_SHOWN_CHARACTERS_MAX:
        return text[: VALUE_SHOWN_CHARACTERS_MAX - 3] + "..."
    return text


class WireError(ValueError):
    """A record that cannot be taken; `reason` is a code of schemas/reasons.py, `value` is for people."""

    def __init__(self, reason: str, field: str, value: object, rule: str) -> None:
        self.reason = reason
        self.field = field
        self.value = shown(value)
        self.rule = rule
        super().__init__(f"{field} is {self.value}; rule: {rule}")


class Undecodable(WireError):
    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(reasons.UNDECODABLE, field, value, rule)


class UnknownSchema(WireError):
    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(reasons.UNKNOWN_SCHEMA, field, value, rule)


class Unencodable(WireError):
    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(reasons.INVALID_FIELD, field, value, rule)


class InvalidEvent(WireError):
    """A decoded event that breaks a rule of schemas/event_rules.py."""
