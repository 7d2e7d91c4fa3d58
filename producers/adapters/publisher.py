"""Sends encoded events by the client package and turns its failures into those that a command reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ratestream_client import Emitter, NotQueued, QueueFull, Report, Unacknowledged
from runtime.errors import InfrastructureError
from schemas.topics import USAGE_EVENTS

if TYPE_CHECKING:
    from types import TracebackType

    from producers.settings import ProducersSettings
    from runtime.settings import KafkaSettings


class Publisher:
    """A context manager; whoever leaves it by `finish` has every event accounted for."""

    def __init__(self, kafka: KafkaSettings, settings: ProducersSettings) -> None:
        self._flush_s_max = settings.flush_s_max
        self._emitter = Emitter(
            kafka.client_config(),
            topic=kafka.topic_prefix + USAGE_EVENTS,
            queue_messages_max=settings.queue_messages_max,
            queue_bytes_max=settings.queue_mib_max * 1024 * 1024,
            wait_s_max=settings.wait_s_max,
            delivery_s_max=settings.delivery_s_max,
        )

    def send(self, customer_id: str, value: bytes) -> None:
        """Queue one event. Raises InfrastructureError where the broker does not take events in time."""
        try:
            self._emitter.emit_encoded(customer_id, value)
        except (QueueFull, NotQueued) as error:
            raise InfrastructureError(
                f"usage.events does not take events: {error}; run it again when Kafka is back: "
                "events that arrived keep their ids and are not billed twice"
            ) from error

    def wait(self, wait_s: float) -> None:
        """Serve acknowledgements for at most so many seconds; may return earlier."""
        self._emitter.poll(wait_s)

    def finish(self) -> Report:
        """Wait for the last acknowledgements and send nothing more; the report lists what has none."""
        try:
            return self._emitter.close(self._flush_s_max)
        except Unacknowledged as error:
            return error.report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
