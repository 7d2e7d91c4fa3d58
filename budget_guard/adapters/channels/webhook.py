"""A generic webhook: a JSON body and the signatures of Standard Webhooks.

Several secrets sign each message side by side, so that a receiver can change over from one to the next.
"""

import base64
import binascii
import json
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from budget_guard.adapters.addresses import Resolver
from budget_guard.adapters.channels.channel import ChannelSettings, HttpChannelSettings
from budget_guard.adapters.http_out import Answer
from budget_guard.core.delivery import signatures
from budget_guard.core.messages import Message, payload
from runtime.clock import Clock

_PREFIX = "whsec_"


def _words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


def key_of(secret: str) -> bytes:
    """The key in a secret. Raises ValueError: it is not whsec_ and the base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"each secret must be {_PREFIX} and the base64 of 24 to 64 random bytes")
    return key


class WebhookSettings(HttpChannelSettings):
    """A table of type webhook."""

    kept_outside: ClassVar[frozenset[str]] = frozenset({"secret"})

    type: Literal["webhook"]
    url: SecretStr = Field(description="or url_file; never shown but for its host")
    secret: Annotated[tuple[SecretStr, ...], BeforeValidator(_words)] = Field(
        min_length=1,
        description="whsec_..., one or more, apart by space; only from secret_file or environment",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.target(self.url.get_secret_value())
        for secret in self.secret:
            key_of(secret.get_secret_value())
        return self


class Webhook:
    """Posts what the reference page `alerts.md` describes."""

    Settings: ClassVar[type[ChannelSettings]] = WebhookSettings

    def __init__(
        self, name: str, settings: WebhookSettings, clock: Clock, resolver: Resolver | None = None
    ) -> None:
        url = settings.url.get_secret_value()
        self.name = name
        self.place = str(settings.target(url))
        self.grouping = settings.grouping
        self.severity: str = settings.severity
        self._keys = [key_of(secret.get_secret_value()) for secret in settings.secret]
        self._sender = settings.sender(url, clock, resolver)

    def render(self, message: Message) -> str:
        """The JSON text."""
        return json.dumps(payload(message), ensure_ascii=False, separators=(",", ":"))

    def send(self, message_id: str, body: str, now_us: int) -> Answer:
        """Post it, signed for this attempt's second."""
        data = body.encode()
        timestamp_s = now_us // 1_000_000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "ratestream",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signatures(self._keys, message_id, timestamp_s, data),
        }
        return self._sender.post(data, headers)
