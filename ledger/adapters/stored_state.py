"""rater.state as verification reads it: by the kind of its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.core.model import identity_digest
from ledger.core.periods import PeriodKey, period_key
from ledger.core.runs import RunKey, run_key
from ledger.core.state import StoredState
from schemas.codec import decode
from schemas.errors import WireError

Decoded = Mapping[str, Any]


def stored_state(newest: Mapping[bytes, bytes | None]) -> StoredState:
    """The state that the newest record of each key tells; what has no meaning is kept as broken."""
    found = _Found()
    for key, value in newest.items():
        if value is None:
            continue
        try:
            found.take(key, value)
        except (WireError, UnicodeDecodeError) as error:
            found.broken.append(f"key {key!r}: {error}")
    return StoredState(
        found.head, found.customers, tuple(found.broken), found.periods, found.revisions, found.runs
    )


@dataclass(slots=True)
class _Found:
    head: Decoded | None = None
    customers: dict[str, Decoded] = field(default_factory=dict)
    periods: dict[PeriodKey, Decoded] = field(default_factory=dict)
    revisions: dict[bytes, Decoded] = field(default_factory=dict)
    runs: dict[RunKey, Decoded] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def take(self, key: bytes, value: bytes) -> None:
        if key == b"h":
            self.head = decode("PartitionHead", value)
        elif key.startswith(b"c/"):
            self.customers[key[2:].decode()] = decode("CustomerState", value)
        elif key.startswith(b"p/"):
            period = decode("PeriodState", value)
            name = period["customer_id"], period["pool"], period["start_us"]
            self._check(key, period_key(name), "period", name)
            self.periods[name] = period
        elif key.startswith(b"r/"):
            revision = decode("RevisionState", value)
            identity = revision["customer_id"], revision["source"], revision["event_id"]
            self._check(key, b"r/" + identity_digest(revision), "revision", identity)
            self.revisions[key[2:]] = revision
        elif key.startswith(b"u/"):
            run = decode("RunState", value)
            run_name = run["customer_id"], run["run_id"], run["pool"], run["start_us"]
            self._check(key, run_key(run_name), "run", run_name)
            self.runs[run_name] = run
        elif key == b"g":
            decode("GenerationEnd", value)
        else:
            self.broken.append(f"key {key!r} is of no known kind")

    def _check(self, key: bytes, expected: bytes, kind: str, name: tuple[object, ...]) -> None:
        if key != expected:
            self.broken.append(f"key {key!r} holds the {kind} of {name}")
