"""Rules of a decoded Correction beyond its types: lengths, characters, and which fields a command has."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.errors import InvalidEvent
from schemas.event_rules import STRING_CHARACTERS_MAX
from schemas.reasons import INVALID_FIELD

CHARACTERS_MAX: Final[Mapping[str, int]] = {
    "correction_id": 256,
    "customer_id": STRING_CHARACTERS_MAX["customer_id"],
    "reason": 1024,
    "author": 256,
    "run_id": 256,
}
TARGET_CHARACTERS_MAX: Final[Mapping[str, int]] = {
    name: STRING_CHARACTERS_MAX[name] for name in ("source", "event_id")
}
POOL_CHARACTERS_MAX: Final = 512
CLOSES_MAX: Final = 1_000

_HAS: Final = {"book_version": "rerate", "amended_event": "amend"}


def check_identity(correction: Mapping[str, Any]) -> None:
    """Refuse a decoded Correction whose names are none: only others can be told in a rejection as they are.

    Raises InvalidEvent.
    """
    _check_text("customer_id", correction["customer_id"], CHARACTERS_MAX["customer_id"])
    for field, characters_max in TARGET_CHARACTERS_MAX.items():
        _check_text(f"target.{field}", correction["target"][field], characters_max)


def check_words(*, author: str, reason: str) -> None:
    """Refuse what no command may say of itself. Raises InvalidEvent."""
    _check_text("author", author, CHARACTERS_MAX["author"])
    _check_text("reason", reason, CHARACTERS_MAX["reason"])


def check_correction(correction: Mapping[str, Any]) -> None:
    """Refuse a decoded Correction that breaks a rule. Raises InvalidEvent with the first field that does."""
    check_identity(correction)
    for field, characters_max in CHARACTERS_MAX.items():
        _check_text(field, correction[field], characters_max)
    target = correction["target"]
    if target["expected_revision"] < 0:
        raise _invalid("target.expected_revision", target["expected_revision"], "0 or more")
    command = correction["command"]
    for field, of in _HAS.items():
        if (correction[field] is None) is (command == of):
            raise _invalid(field, correction[field], f"there for {of}, and for no other command")
    if command != "rerate" and correction["run_id"] is not None:
        raise _invalid("run_id", correction["run_id"], "there for rerate only")
    _check_closes(correction)


def _check_closes(correction: Mapping[str, Any]) -> None:
    closes = correction["closes"]
    if closes and correction["run_id"] is None:
        raise _invalid("closes", closes, "empty where there is no run_id")
    if len(closes) > CLOSES_MAX:
        raise _invalid("closes", len(closes), f"at most {CLOSES_MAX} periods")
    for period in closes:
        _check_text("closes.pool", period["pool"], POOL_CHARACTERS_MAX)
    if len({(period["pool"], period["start_us"]) for period in closes}) < len(closes):
        raise _invalid("closes", closes, "each period once")


def _check_text(field: str, text: str | None, characters_max: int) -> None:
    if text is None:
        return
    if not text:
        raise _invalid(field, text, "not empty")
    if len(text) > characters_max:
        raise _invalid(field, text, f"at most {characters_max} characters, it has {len(text)}")
    if "\0" in text:
        raise _invalid(field, text, "no NUL character")


def _invalid(field: str, value: object, rule: str) -> InvalidEvent:
    return InvalidEvent(INVALID_FIELD, field, value, rule)
