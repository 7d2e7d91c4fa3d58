"""What every channel is: settings under its name, a body for a message, and one attempt to send it."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BeforeValidator, Field

from budget_guard.adapters.addresses import Network, RefusedError, Resolver, Target, target_of
from budget_guard.adapters.http_out import Answer, Rules, Sender
from budget_guard.core.delivery import Grouping
from budget_guard.core.messages import Message
from runtime.clock import Clock
from runtime.settings import Section


class ChannelSettings(Section):
    """What the settings of every channel hold: `[channels.<name>]`."""

    type: str
    severity: Literal["info", "warning", "critical"] = Field(
        default="info", description="milder alerts are not sent here"
    )
    group_after: int = Field(
        default=5, ge=1, le=1_000_000, description="so many alerts in group_window_s go one by one, at once"
    )
    group_window_s: int = Field(default=60, ge=1, le=86_400)
    group_s: int = Field(default=30, ge=1, le=3_600, description="those beyond go together, so much later")

    @property
    def grouping(self) -> Grouping:
        """The rule by which alerts go alone or together."""
        return Grouping(self.group_after, self.group_window_s, self.group_s)


def _network(value: Any) -> Network:
    """Raises ValueError: not an address or a range in CIDR form."""
    return ipaddress.ip_network(str(value))


class HttpChannelSettings(ChannelSettings):
    """What a channel that posts to a URL has beside."""

    allow_http: bool = Field(default=False, description="without TLS, anybody on the way reads the alerts")
    allow_addresses: tuple[Annotated[Network, BeforeValidator(_network)], ...] = Field(
        default=(), description="ranges that are not public and yet meant, e.g. 10.2.0.0/16"
    )
    ca_file: Path | None = Field(default=None, description="authorities (PEM) in place of the system's")
    timeout_s: int = Field(default=10, ge=1, le=20, description="for all of one attempt")

    def target(self, url: str) -> Target:
        """The URL taken apart. Raises ValueError: it breaks a rule; the text shows no more than its host."""
        try:
            return target_of(url, allow_http=self.allow_http)
        except RefusedError as error:
            raise ValueError(str(error)) from None

    def sender(self, url: str, clock: Clock, resolver: Resolver | None) -> Sender:
        """The guarded sender to the URL."""
        rules = Rules(float(self.timeout_s), self.allow_addresses, self.ca_file)
        return Sender(self.target(url), rules, clock, resolver=resolver)


class Channel(Protocol):
    """A way to people. One file beside this one, and one entry in the registry of this package.

    `Settings` is the pydantic class of its table. `place` tells people where it leads, without secrets.
    `send` makes one attempt under the message's id, the same on every attempt, and raises nothing.
    """

    Settings: ClassVar[type[ChannelSettings]]
    name: str
    place: str
    grouping: Grouping
    severity: str

    def __init__(self, name: str, settings: Any, clock: Clock, resolver: Resolver | None = None) -> None: ...

    def render(self, message: Message) -> str:
        """The body, which is kept and sent unchanged on every attempt of a group."""
        ...

    def send(self, message_id: str, body: str, now_us: int) -> Answer:
        """Try once."""
        ...
