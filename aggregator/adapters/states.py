"""What is read of the table's values without decoding them whole, and states as they are wanted now."""

from aggregator.core.fold import CustomerState, Watched
from pricing.totals import Live
from pricing.totals_record import live_of
from schemas import codec

_NULL_BRANCH = 0


def state_for(value: bytes, wanted: Watched) -> tuple[CustomerState, bool]:
    """The state of a LiveCustomer's bytes, and whether it was made for what is wanted of it now: if not, its
    totals mean nothing and are left out.
    """
    record = codec.decode("LiveCustomer", value)
    same = record["watched"] == wanted.hash
    live = live_of(record["entries"]) if same else Live()
    return (
        CustomerState(
            record["customer_id"], wanted, live, record["seq"], record["since_seq"], record["as_of_us"]
        ),
        same,
    )


def needs_a_look(value: bytes, wanted: Watched) -> bool:
    """Whether a LiveCustomer waits for the ledger, or was made for something else than what is wanted now.

    In a microsecond: a start looks through every customer.
    """
    if value[: codec.HEADER_BYTES] != codec.fingerprint("LiveCustomer"):
        return True  # of another version of the schema
    at = codec.HEADER_BYTES
    while value[at] & 0x80:  # seq, a long of as many bytes as it needs
        at += 1
    return value[at + 1] != _NULL_BRANCH or wanted.hash.encode() not in value


def head_bytes(frame_no: int, partition: int, topic_id: str) -> bytes:
    """A LivePartition."""
    return codec.encode("LivePartition", {"frame_no": frame_no, "partition": partition, "topic_id": topic_id})
