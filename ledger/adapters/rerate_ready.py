"""Whether a re-rate may select its records: raters are on the version, the ledger has what was rated before.

1. Every partition's head carries the version, or a later one: whatever is rated from now on is rated with it.
2. The ends of usage.rated are taken: what was rated with an older version stands before them.
3. The ledger has passed these ends.
"""

import time
from collections.abc import Callable
from typing import Any

from runtime.errors import FindingError
from runtime.kafka.clients import client_config
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import describe
from runtime.postgres import Connection
from runtime.settings import KafkaSettings
from schemas import topics
from schemas.codec import decode

_CLIENT_ID = "ratestream-corrections"
_TAILS = (100, 10_000)  # a head is among the last records; where it is not, all are read
_POLL_S = 0.2


class NotReadyError(FindingError):
    """The heads or the ledger are behind; try again later."""


def check_ready(
    kafka: KafkaSettings,
    connection: Connection,
    version: int,
    *,
    wait_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """The three steps; the ledger is given `wait_s` seconds.

    Raises:
        NotReadyError: a head carries an older version or there is none, or the ledger is behind.
    """
    config = client_config(kafka, _CLIENT_ID)
    check_heads(heads(config, kafka), version)
    rated = kafka.topic_prefix + topics.USAGE_RATED
    wanted = [(rated, partition) for partition in range(kafka.partitions)]
    ends = list_offsets(config, wanted, "latest", Isolation.COMMITTED)
    topic_id = describe(config, [rated]).topic_ids[rated]
    deadline = time.monotonic() + wait_s
    with PartitionReader(config) as reader:
        while behind := _behind(reader, ends, _positions(connection, topic_id)):
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"the ledger has not passed what was rated before now: {'; '.join(behind)}; "
                    "is `ratestream run ledger` running?"
                )
            sleep(_POLL_S)


def heads(config: dict[str, Any], kafka: KafkaSettings) -> dict[int, int | None]:
    """The version of the rate book that each partition's head carries; None: no head."""
    topic = kafka.topic_prefix + topics.RATER_STATE
    wanted = [(topic, partition) for partition in range(kafka.partitions)]
    ends = list_offsets(config, wanted, "latest", Isolation.COMMITTED)
    first = list_offsets(config, wanted, "earliest")
    with PartitionReader(config) as reader:
        return {where[1]: _head(reader, where, first[where], end) for where, end in ends.items()}


def _head(reader: PartitionReader, where: tuple[str, int], first: int, end: int) -> int | None:
    for start in (*(max(end - tail, first) for tail in _TAILS), first):
        values = [record.value for record in reader.read(*where, start, end) if record.key == b"h"]
        if values:
            return int(decode("PartitionHead", values[-1])["book_version"])
    return None


def check_heads(found: dict[int, int | None], version: int) -> None:
    """Raises NotReadyError naming the partitions whose head does not carry the version."""
    behind = [
        f"partition {partition} {'has no head' if head is None else f'is on version {head}'}"
        for partition, head in sorted(found.items())
        if head is None or head < version
    ]
    if behind:
        raise NotReadyError(
            f"version {version} of the rate book is not everywhere in force: {'; '.join(behind)}; "
            "is `ratestream run rater` running?"
        )


def _positions(connection: Connection, topic_id: str) -> dict[int, int]:
    with connection.transaction():
        rows = connection.execute(
            "select kafka_partition, next_offset from ledger.positions where topic_id = %s", (topic_id,)
        ).fetchall()
    return {int(str(partition)): int(str(offset)) for partition, offset in rows}


def _behind(
    reader: PartitionReader, ends: dict[tuple[str, int], int], positions: dict[int, int]
) -> list[str]:
    """Partitions with a record between position and end; markers, which no reader gets, do not count."""
    return [
        f"partition {partition} is at {positions.get(partition, 0)} of {end}"
        for (topic, partition), end in ends.items()
        if positions.get(partition, 0) < end
        and any(True for _ in reader.read(topic, partition, positions.get(partition, 0), end))
    ]
