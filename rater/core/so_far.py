"""Where everything stands in the middle of a batch: what it has decided so far, else what is known."""

from pricing.rate import PoolState
from rater.core.identity import Known
from rater.core.revisions import Revision, RunKey
from rater.core.work import BatchResult, Memory


class SoFar:
    """Reads through a batch's result to the partition's state."""

    def __init__(self, result: BatchResult, memory: Memory) -> None:
        self._result = result
        self._memory = memory
        self.known: dict[bytes, Known] = {}
        """Of the batch's events: those that it rates, and those that were rated before."""
        self.values: dict[int, bytes] = {}
        """Of those that it rates, by offset."""

    def last_sequence(self, customer_id: str) -> int:
        """The customer's last sequence; 0 where it has none."""
        delta = self._result.customers.get(customer_id)
        if delta is not None:
            return delta.last_seq
        return self._memory.last_sequences([customer_id]).get(customer_id, 0)

    def rated(self, digest: bytes, bucket_us: int) -> Known | None:
        """An event that was rated, looked for in its bucket first."""
        return self.known.get(digest) or self._memory.known([digest], [bucket_us]).get(digest)

    def covers(self, append_us: int) -> bool:
        """Whether every event that was appended then or later is known, but for those of expired buckets."""
        return self._memory.covers(append_us)

    def first_record(self, offset: int) -> bytes | None:
        """The value at an offset of the partition's usage.events, or None where it is gone."""
        value = self.values.get(offset)
        return self._memory.first_record(offset) if value is None else value

    def pool(self, customer_id: str, pool: str, start_us: int) -> PoolState | None:
        """Where a customer's pool stands in a period, if anything has happened in it."""
        delta = self._result.customers.get(customer_id)
        state = None if delta is None else delta.pools.get((pool, start_us))
        return self._memory.period((customer_id, pool, start_us)) if state is None else state

    def revision(self, customer_id: str, digest: bytes) -> Revision | None:
        """How often an event of the customer was corrected, if ever."""
        delta = self._result.customers.get(customer_id)
        found = None if delta is None else delta.revisions.get(digest)
        return self._memory.revision(digest) if found is None else found

    def run(self, key: RunKey) -> PoolState | None:
        """Where a pool stands in a re-rate's own period, if the run has met it and not closed it."""
        delta = self._result.customers.get(key[0])
        found = None if delta is None else delta.runs.get(key[1:])
        if found is not None:
            return None if found.closed else found.state
        return self._memory.run(key)
