"""Where the ledger begins to read, and whether the broker still has it: money is never skipped in silence."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.core.batch import Where
from runtime.kafka.errors import KafkaUnavailableError, PositionLostError
from runtime.kafka.offsets import list_offsets
from runtime.kafka.topology import Topology, describe

_LOG = logging.getLogger(__name__)


class TopicChangedError(KafkaUnavailableError):
    """A topic was deleted and created anew: offsets of the old one mean nothing in it: the ledger stops."""


class Broker:
    """What the broker tells of the ledger's topics.

    Args:
        config: client settings as librdkafka names them.
        topology: the topics when this process started.
        complete: topics that must be read from their first record; of others, what is left will do.
    """

    def __init__(self, config: Mapping[str, Any], topology: Topology, complete: Sequence[str]) -> None:
        self._config = config
        self._topology = topology
        self._complete = frozenset(complete)

    def starts(self, wanted: Sequence[Where]) -> dict[Where, int]:
        """Where to begin partitions that have no position yet.

        Raises:
            PositionLostError: records of a topic that must be complete are gone.
        """
        starts = list_offsets(self._config, wanted, "earliest") if wanted else {}
        for (topic, partition), first in starts.items():
            if first and topic in self._complete:
                raise PositionLostError(
                    f"{topic} {partition}: the ledger has no position and must begin at offset 0, the broker "
                    f"holds records from {first} only; restore the ledger from a backup, or accept that it "
                    "begins there: ledger.begin = 'held'"
                )
            if first:
                _LOG.warning("%s %d begins at offset %d: older records are gone", topic, partition, first)
        return starts

    def check(self, positions: Mapping[Where, int]) -> None:
        """The broker holds every position.

        Raises:
            PositionLostError: records were deleted before the ledger had them, or the log was cut.
        """
        first = list_offsets(self._config, positions, "earliest")
        end = list_offsets(self._config, positions, "latest")
        for (topic, partition), offset in sorted(positions.items()):
            where = (topic, partition)
            if not first[where] <= offset <= end[where]:
                raise PositionLostError(
                    f"{topic} {partition}: the ledger goes on at offset {offset}, the broker holds "
                    f"[{first[where]}, {end[where]}): the rest is not in the ledger, nothing was skipped"
                )

    def check_topics(self) -> None:
        """The topics are those of the start.

        Raises:
            TopicChangedError: one has another id under its name.
            KafkaUnavailableError: the broker does not answer.
        """
        found = describe(self._config, list(self._topology.topic_ids))
        for topic, topic_id in self._topology.topic_ids.items():
            if found.topic_ids[topic] != topic_id:
                raise TopicChangedError(
                    f"{topic}: its id was {topic_id}, now {found.topic_ids[topic]}: created anew"
                )
