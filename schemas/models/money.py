"""An amount with its currency, as somebody else states it."""

from schemas.models.base import WireModel


class Money(WireModel):
    amount: str
    """Plain non-negative decimal, at most 20 digits before the point and 18 after."""
    currency: str
    """ISO 4217 code, or a declared credit unit."""
