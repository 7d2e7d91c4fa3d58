"""What is kept of corrections: each corrected event's revision, and the periods of a re-rate under way.

A run's periods are its own: quantity and amount of what it has replaced so far, from nothing.
"""

from typing import Any, NamedTuple

from pricing.rate import PoolState
from rater.core.periods import state_fields, state_of_fields

RunKey = tuple[str, str, str, int]
"""Customer, run, pool, start of the period in microseconds UTC."""


class Revision(NamedTuple):
    """An event that was corrected: how often, and by which command last."""

    customer_id: str
    source: str
    event_id: str
    revision: int
    correction_id: str
    voided: bool


class RunAt(NamedTuple):
    """A pool in a run's own period; a closed one is forgotten."""

    state: PoolState
    closed: bool = False


def pack_run_key(key: RunKey) -> bytes:
    """The key as bytes, each run's period another: the names may hold slashes, so two lengths lead."""
    customer_id, run_id, pool, start_us = key
    customer, run = customer_id.encode(), run_id.encode()
    return b"%d/%b/%d/%b/%b/%d" % (len(customer), customer, len(run), run, pool.encode(), start_us)


def unpack_run_key(packed: bytes) -> RunKey:
    """The key that `pack_run_key` packed.

    Raises:
        ValueError: it packed no such thing.
    """
    size, _, rest = packed.partition(b"/")
    customer, rest = rest[: int(size)], rest[int(size) + 1 :]
    size, _, rest = rest.partition(b"/")
    run, rest = rest[: int(size)], rest[int(size) + 1 :]
    pool, _, start = rest.rpartition(b"/")
    key = customer.decode(), run.decode(), pool.decode(), int(start)
    if pack_run_key(key) != packed:
        raise ValueError(f"{packed!r} is no key of a run: customer and run after their bytes, pool, start")
    return key


def revision_fields(revision: Revision) -> dict[str, Any]:
    """A revision as frames tell it, beneath its customer."""
    return {
        "source": revision.source,
        "event_id": revision.event_id,
        "revision": revision.revision,
        "correction_id": revision.correction_id,
        "voided": revision.voided,
    }


def revision_of_fields(customer_id: str, fields: Any) -> Revision:
    """The revision that `revision_fields` told."""
    return Revision(
        customer_id,
        fields["source"],
        fields["event_id"],
        fields["revision"],
        fields["correction_id"],
        fields["voided"],
    )


def run_fields(run_id: str, run: RunAt) -> dict[str, Any]:
    """A run's period as frames tell it, beneath its customer."""
    return {"run_id": run_id, "closed": run.closed} | state_fields(run.state)


def run_of_fields(fields: Any) -> RunAt:
    """The period that `run_fields` told."""
    return RunAt(state_of_fields(fields), fields["closed"])
