"""rater.state: a pool's quantity and amount in a re-rate's own period, until the run closes it.

Its key is `u/<bytes of customer_id>/<customer_id>/<bytes of run_id>/<run_id>/<pool>/<start_us>`.
"""

from schemas.models.base import Long, WireModel


class RunState(WireModel):
    run_id: str
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
