"""Whether the ledger has a customer's rated records: its position against the end of their partition."""

import time
from collections.abc import Callable

from runtime.kafka.clients import client_config
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import describe
from runtime.settings import KafkaSettings
from schemas import topics
from schemas.partitioning import partition_of

_CLIENT_ID = "ratestream-statement"
_POLL_S = 0.2

PositionOf = Callable[[str, int], int | None]
"""(topic id, partition) -> the ledger's next offset; None: it never had the partition."""


def behind(
    settings: KafkaSettings, customer: str, position_of: PositionOf, *, wait_s: float = 10.0
) -> str | None:
    """What the ledger lacks of the customer's partition of usage.rated as it ends now; None: nothing.

    The ledger of a running system is a moment behind, so this waits until it has passed that end.

    Raises:
        KafkaUnavailableError: the broker does not answer.
    """
    topic = settings.topic_prefix + topics.USAGE_RATED
    config = client_config(settings, _CLIENT_ID)
    topology = describe(config, [topic])
    partition = partition_of(customer.encode(), topology.partitions[topic])
    where = (topic, partition)
    end = list_offsets(config, [where], "latest", Isolation.COMMITTED)[where]
    first = list_offsets(config, [where], "earliest")[where]
    deadline = time.monotonic() + wait_s
    with PartitionReader(config) as reader:
        while True:
            position = position_of(topology.topic_ids[topic], partition)
            start = first if position is None else max(position, first)
            # Markers of transactions take offsets as well: only reading tells whether a record is left.
            left = next(reader.read(topic, partition, start, end), None) if start < end else None
            if left is None:
                return None
            if time.monotonic() > deadline:
                return f"{topic} {partition} from offset {left.offset} up to {end}"
            time.sleep(_POLL_S)
