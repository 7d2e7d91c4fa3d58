"""The log: each message is one structured line of the guard's own log. There without any settings."""

import logging
from typing import ClassVar, Literal

from budget_guard.adapters.addresses import Resolver
from budget_guard.adapters.channels.channel import ChannelSettings
from budget_guard.adapters.http_out import Answer
from budget_guard.core.messages import Message
from runtime.clock import Clock

_LOG = logging.getLogger("ratestream.alerts")


class LogSettings(ChannelSettings):
    """A table of type log."""

    type: Literal["log"]


class Log:
    """Writes; it cannot fail."""

    Settings: ClassVar[type[ChannelSettings]] = LogSettings

    def __init__(
        self,
        name: str,
        settings: LogSettings,
        clock: Clock,  # noqa: ARG002 - what every channel is given
        resolver: Resolver | None = None,  # noqa: ARG002 - the same
    ) -> None:
        self.name = name
        self.place = "the log"
        self.grouping = settings.grouping
        self.severity: str = settings.severity

    def render(self, message: Message) -> str:
        """One line, for people and for machines."""
        return message.title

    def send(self, message_id: str, body: str, now_us: int) -> Answer:  # noqa: ARG002 - the log has its own time
        """Write the line."""
        _LOG.warning("%s", body, extra={"message_id": message_id, "channel": self.name})
        return Answer()
