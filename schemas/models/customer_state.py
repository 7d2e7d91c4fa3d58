"""rater.state under `c/<customer_id>`: a customer's last sequence."""

from schemas.models.base import Long, WireModel


class CustomerState(WireModel):
    customer_id: str
    last_seq: Long
    frame_no: Long
    """The frame in whose transaction this was written."""
