"""Ids of alerts: made of what the alert says, so that whoever raises it again raises the same one."""

from hashlib import blake2b
from typing import Final

from budget_guard.core.firings import FiringKey
from pricing.money import format_atto

_PREFIX: Final = "alr_"
_BYTES: Final = 13  # 26 hexadecimal digits


def alert_id(key: FiringKey, *, version: int, threshold_atto: int, episode: int) -> str:
    """Of a threshold's crossing; `version` is that of the budgets that fired."""
    return _made(
        "threshold",
        key.budget_id,
        str(version),
        key.customer_id,
        key.scope_key,
        key.window,
        str(key.period_start_us),
        format_atto(threshold_atto),
        str(episode),
    )


def retraction_id(retracted: str) -> str:
    """Of the alert that takes another one back."""
    return _made("retraction", retracted)


def notice_id(key: FiringKey) -> str:
    """Of what is said once a customer and billing period."""
    return _made(key.budget_id, key.customer_id, str(key.period_start_us), key.threshold)


def _made(*fields: str) -> str:
    hashed = blake2b(digest_size=_BYTES)
    for field in fields:
        data = field.encode()
        hashed.update(len(data).to_bytes(4, "big"))  # no two lists of fields are the same bytes
        hashed.update(data)
    return _PREFIX + hashed.hexdigest()
