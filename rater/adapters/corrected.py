"""What a partition's local state holds of corrections: two column families of RocksDB, revisions and runs.

rater.state gets every one of them in the transaction that changes it, so nothing here is ever due. A frame
or a record that is older than what is held changes nothing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rocksdict import Rdict, WriteBatch

from pricing.rate import PoolState
from rater.adapters.digest_filter import DigestFilter
from rater.adapters.rocks import keys_of
from rater.core.revisions import Revision, RunAt, RunKey, pack_run_key

REVISIONS = "revisions"
RUNS = "runs"


class RevisionRecord(NamedTuple):
    """An event's revision as of a frame."""

    revision: Revision
    frame_no: int


class RunRecord(NamedTuple):
    """A run's period as of a frame; None where a record of rater.state says that it is no more."""

    run: RunAt | None
    frame_no: int


@dataclass(slots=True)
class CorrectedChanges:
    """What is to be written: by family and key a value, or None where it goes; and how the counts change."""

    values: dict[tuple[str, bytes], bytes | None] = field(default_factory=dict)
    revisions: int = 0
    runs: int = 0

    def write(self, batch: WriteBatch, handles: Mapping[str, object]) -> None:
        """Put them into a batch."""
        for (family, key), value in self.values.items():
            handle = handles[family]
            if value is None:
                batch.delete(key, handle)  # type: ignore[arg-type]  # the library does not export the handle's type
            else:
                batch.put(key, value, handle)  # type: ignore[arg-type]  # as above


class Corrected:
    """Reads the families, and says what to write into them; it never writes itself.

    `family` is asked for each time: RocksDB stays open as long as anything holds one of its families.
    """

    def __init__(self, family: Callable[[str], Rdict]) -> None:
        self._family = family
        self._filter = DigestFilter()

    def opened(self) -> list[bytes]:
        """Read every revision's key into the filter in front: they are counted, too."""
        self._filter = DigestFilter()
        digests = keys_of(self._family(REVISIONS))
        self._filter.add(b"".join(digests), 0)
        return digests

    def among(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of the identities that were ever corrected: the filter's positives are looked up."""
        if not digests:
            return []
        maybe = self._filter.maybe(b"".join(digests)).nonzero()[0]
        return [digests[int(index)] for index in maybe if self._revision(digests[int(index)]) is not None]

    def revision(self, digest: bytes) -> Revision | None:
        """How often the event of that identity was corrected, if ever."""
        held = self._revision(digest)
        return None if held is None else held.revision

    def run(self, key: RunKey) -> PoolState | None:
        """Where a pool stands in a re-rate's own period, if the run has met it and not closed it."""
        held = self._run(key)
        return None if held is None or held.run is None else held.run.state

    def changed(
        self, revisions: Mapping[bytes, Revision], runs: Mapping[RunKey, RunAt], frame_no: int
    ) -> CorrectedChanges:
        """What a frame changes."""
        return self.read_back(
            {digest: RevisionRecord(revision, frame_no) for digest, revision in revisions.items()},
            {key: RunRecord(run, frame_no) for key, run in runs.items()},
        )

    def read_back(
        self, revisions: Mapping[bytes, RevisionRecord], runs: Mapping[RunKey, RunRecord]
    ) -> CorrectedChanges:
        """What records change. A frame that was applied before may know more."""
        changes = CorrectedChanges()
        for digest, record in revisions.items():
            held = self._revision(digest)
            if held is None or held.frame_no <= record.frame_no:
                changes.values[REVISIONS, digest] = json.dumps([*record.revision, record.frame_no]).encode()
                changes.revisions += held is None
                if held is None:
                    self._filter.add(digest, 0)
        for key, told in runs.items():
            before = self._run(key)
            if before is not None and before.frame_no > told.frame_no:
                continue
            if told.run is not None and not told.run.closed:
                changes.values[RUNS, pack_run_key(key)] = _packed_run(told.run.state, told.frame_no)
                changes.runs += before is None
            elif before is not None:
                changes.values[RUNS, pack_run_key(key)] = None
                changes.runs -= 1
        return changes

    def _revision(self, digest: bytes) -> RevisionRecord | None:
        value = self._family(REVISIONS).get(digest)
        if value is None:
            return None
        *fields, frame_no = json.loads(value)
        return RevisionRecord(Revision(*fields), frame_no)

    def _run(self, key: RunKey) -> RunRecord | None:
        value = self._family(RUNS).get(pack_run_key(key))
        if value is None:
            return None
        end_us, quantity, amount, currency, frame_no = json.loads(value)
        return RunRecord(RunAt(PoolState(key[2], key[3], end_us, quantity, amount, currency)), frame_no)


def _packed_run(state: PoolState, frame_no: int) -> bytes:
    # JSON's whole numbers have no limit in Python.
    return json.dumps(
        [state.end_us, state.quantity_atto, state.amount_atto, state.currency, frame_no]
    ).encode()
