"""rater.state: a pool's quantity and amount in one period of a customer, kept for ever.

Its key is `p/<bytes of customer_id>/<customer_id>/<pool>/<start_us>`.
"""

from schemas.models.base import Long, WireModel


class PeriodState(WireModel):
    customer_id: str
    pool: str
    start_us: Long
    """Microseconds since 1970 UTC."""
    end_us: Long
    """Exclusive."""
    quantity: str
    """Plain decimal in the pool's unit."""
    amount: str
    """Plain decimal in `currency`."""
    currency: str
    frame_no: Long
