"""A rater whose offsets carry no generation, as of a client that its broker has put out of the group."""

from typing import Any

from confluent_kafka import Consumer

from rater.__main__ import main
from runtime.kafka import group
from runtime.process import run_process


class _Outsider(Consumer):
    """A member that says of itself what one that never joined says."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._never_joined = Consumer(config)

    def consumer_group_metadata(self) -> Any:
        return self._never_joined.consumer_group_metadata()


if __name__ == "__main__":
    setattr(group, "Consumer", _Outsider)  # noqa: B010 - the one wrong line, not for the type checker
    run_process(main)
