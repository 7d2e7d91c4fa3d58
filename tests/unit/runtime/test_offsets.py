"""What the client tells of a broker that does not answer."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from runtime.kafka.offsets import OffsetsUnknownError, list_offsets

SILENT = -1001  # librdkafka's OFFSET_INVALID


class Told(AdminClient):
    """A client without a broker whose answers are given."""

    def __init__(self, *offsets: int) -> None:
        super().__init__({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
        self.told = list(offsets)

    def list_offsets(self, topic_partition_offsets: Any, **_: Any) -> Any:  # type: ignore[override]  # its stub lacks it
        answers = {}
        for asked in topic_partition_offsets:
            answers[asked] = Future[Any]()
            answers[asked].set_result(SimpleNamespace(offset=self.told.pop(0)))
        return answers


def test_what_the_broker_told() -> None:
    assert list_offsets(Told(7, 0), [("a", 0), ("a", 1)], "latest") == {("a", 0): 7, ("a", 1): 0}


def test_a_broker_that_stays_silent_has_told_no_offset() -> None:
    """Taken for an offset it would be the end of an empty log: a rater would begin anew and bill twice."""
    with pytest.raises(OffsetsUnknownError, match="latest offset of a 1: no answer within 5 s"):
        list_offsets(Told(7, SILENT), [("a", 0), ("a", 1)], "latest", timeout_s=5)
