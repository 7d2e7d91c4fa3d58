"""What a partition's local state says of itself."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from rater.core.work import Head

FORMAT = 4


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log a state belongs to: a topic created anew has another id under the same name."""

    cluster_id: str
    events_topic_id: str
    corrections_topic_id: str
    deltas_topic_id: str
    state_topic_id: str


@dataclass(frozen=True, slots=True)
class Meta:
    """How far the state has followed the log, and how much it must hold.

    coverage_from_us: it knows every rated event appended from then on; None before any frame.
    digests: how many each bucket has. customers, periods, revisions, runs: how many there are. replay_us:
    how long digests were kept.
    """

    log: LogIdentity
    replay_us: int
    format: int = FORMAT
    head: Head = field(default_factory=Head)
    deltas_next: int = 0
    state_next: int = 0
    coverage_from_us: int | None = None
    digests: Mapping[int, int] = field(default_factory=dict)
    customers: int = 0
    periods: int = 0
    revisions: int = 0
    runs: int = 0

    def packed(self) -> bytes:
        """As the state holds it: JSON of the fields. Once a frame, so without `asdict` of it all."""
        told = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(told | {"log": asdict(self.log), "head": asdict(self.head)}).encode()


_FIELDS = tuple(field.name for field in fields(Meta))
