"""States to bytes and back: LiveCustomer, LivePartition (aggregator.state), RunningTotals (usage.totals).

An entry that did not change since it was last encoded keeps its bytes, and the state and the totals share
them: a frame of one event changes 5 of some 27 entries.
"""

from collections.abc import Callable

from aggregator.core.fold import CustomerState, Watched
from pricing.calendar import ZoneTable
from pricing.money import format_atto
from pricing.totals import Key, Live, Sums
from pricing.totals_record import entry_record, live_of, scope_of
from schemas import codec
from schemas.entries import entry_body, entry_head

CUSTOMER_KEY, PARTITION_KEY = b"c/", b"h/"


def customer_key(customer_id: str) -> bytes:
    return CUSTOMER_KEY + customer_id.encode()


def partition_key(partition: int) -> bytes:
    return PARTITION_KEY + str(partition).encode()


def encode_state(state: CustomerState) -> bytes:
    """The state as a LiveCustomer."""
    watched = state.watched
    record = {
        "seq": state.seq,
        "since_seq": state.since_seq,
        "customer_id": state.customer_id,
        "as_of_us": state.as_of_us,
        "zone": watched.zone.name,
        "scopes": [dict(scope) for scope in watched.scopes.all],
        "watched": watched.hash,
    }
    return codec.encode_with_entries("LiveCustomer", record, _entries(state.live))


def decode_state(value: bytes, zone_table: Callable[[str], ZoneTable]) -> CustomerState:
    """The state of a LiveCustomer's bytes; `zone_table` finds a zone by its name.

    Raises WireError for bytes that are none, ValueError for a zone, window or number that is none.
    """
    record = codec.decode("LiveCustomer", value)
    watched = Watched(zone_table(record["zone"]), map(scope_of, record["scopes"]))
    return CustomerState(
        record["customer_id"],
        watched,
        live_of(record["entries"]),
        record["seq"],
        record["since_seq"],
        record["as_of_us"],
    )


def encode_totals(state: CustomerState) -> bytes:
    """The totals as RunningTotals. Raises ValueError for a customer that is repairing: it has none."""
    if state.repairing:
        raise ValueError(
            f"customer {state.customer_id!r} is repairing; rule: only whole totals are published"
        )
    record = {
        "customer_id": state.customer_id,
        "as_of_seq": state.seq,
        "as_of_us": state.as_of_us,
        "zone": state.watched.zone.name,
        "watched": state.watched.hash,
    }
    return codec.encode_with_entries("RunningTotals", record, _entries(state.live))


def reached(key: bytes, value: bytes) -> int:
    """How far a value of aggregator.state has come: a customer's sequence, a partition's frame number.

    Raises WireError for bytes that are neither.
    """
    return codec.leading_long("LivePartition" if key.startswith(PARTITION_KEY) else "LiveCustomer", value)


def _entries(live: Live) -> list[bytes]:
    return [sums.encoded or _encoded(key, sums) for key, sums in live.items()]


def _encoded(key: Key, sums: Sums) -> bytes:
    if sums.head is None:
        sums.head = entry_head(entry_record(key, sums))
    sums.encoded = entry_body(
        sums.head,
        None if sums.cost_atto is None else format_atto(sums.cost_atto),
        None if sums.price_atto is None else format_atto(sums.price_atto),
        (sums.events, sums.unpriced_cost_events, sums.unpriced_price_events),
        {meter: format_atto(quantity) for meter, quantity in sums.quantities.items()},
    )
    return sums.encoded
