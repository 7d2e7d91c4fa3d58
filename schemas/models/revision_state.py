"""rater.state under `r/` and 16 bytes: how often a rated event was corrected, and by which command last.

The bytes are blake2b-128 of the identity, as in frames.
"""

from schemas.models.base import Long, WireModel


class RevisionState(WireModel):
    customer_id: str
    source: str
    event_id: str
    revision: Long
    correction_id: str
    """Of the last correction applied: the same one again is repeated."""
    voided: bool
    frame_no: Long
