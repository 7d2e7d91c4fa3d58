"""How far the raters are: the heads on rater.state, read as they come."""

from runtime.kafka.offsets import BrokerOffsets, Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.settings import KafkaSettings
from schemas.codec import CODEC
from schemas.topics import RATER_STATE

_HEAD_KEY = b"h"


class HeadWatch:
    """Sums the input positions of all partitions' newest heads."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._offsets = BrokerOffsets(kafka.client_config())
        self._state = kafka.topic_prefix + RATER_STATE
        self._next = dict.fromkeys(range(kafka.partitions), 0)
        self._heads = dict.fromkeys(range(kafka.partitions), 0)
        self._reader = PartitionReader(kafka.client_config())

    def covered(self) -> int:
        """Input records that committed frames cover by now."""
        where = [(self._state, partition) for partition in self._next]
        ends = list_offsets(self._offsets, where, "latest", Isolation.COMMITTED)
        for (topic, partition), end in ends.items():
            for record in self._reader.read(topic, partition, self._next[partition], end):
                if record.key == _HEAD_KEY:
                    self._heads[partition] = CODEC.decode("PartitionHead", record.value)["events_next"]
            self._next[partition] = max(end, self._next[partition])
        return sum(self._heads.values())

    def close(self) -> None:
        """Close its connections."""
        self._offsets.close()
        self._reader.close()
