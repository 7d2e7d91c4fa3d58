"""Slack, or what speaks like it: an incoming webhook, whose URL is its only secret."""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from budget_guard.adapters.addresses import Resolver
from budget_guard.adapters.channels.channel import ChannelSettings, HttpChannelSettings
from budget_guard.adapters.http_out import Answer
from budget_guard.core.messages import Message, facts, sentence, severity_of, worst_first
from runtime.clock import Clock

_TEXT_CHARACTERS = 2_900  # Slack refuses a block of more than 3,000
_GROUP_LINES = 15


class SlackSettings(HttpChannelSettings):
    """A table of type slack."""

    kept_outside: ClassVar[frozenset[str]] = frozenset({"url"})

    type: Literal["slack"]
    url: SecretStr = Field(description="only from url_file or environment; never shown but for its host")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.target(self.url.get_secret_value())
        return self


class Slack:
    """Posts a line of text and the same as blocks."""

    Settings: ClassVar[type[ChannelSettings]] = SlackSettings

    def __init__(
        self, name: str, settings: SlackSettings, clock: Clock, resolver: Resolver | None = None
    ) -> None:
        url = settings.url.get_secret_value()
        self.name = name
        self.place = str(settings.target(url))
        self.grouping = settings.grouping
        self.severity: str = settings.severity
        self._sender = settings.sender(url, clock, resolver)

    def render(self, message: Message) -> str:
        """The JSON text."""
        title = escaped(message.title)
        lines = _group_lines(message) if message.grouped else _alert_lines(message)
        blocks: list[dict[str, Any]] = [_section(f"*{title}*"), _section("\n".join(lines))]
        return json.dumps({"text": title, "blocks": blocks}, ensure_ascii=False, separators=(",", ":"))

    def send(self, message_id: str, body: str, now_us: int) -> Answer:  # noqa: ARG002 - Slack knows no ids
        """Post it."""
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "ratestream"}
        return self._sender.post(body.encode(), headers)


def escaped(text: str) -> str:
    """The text as Slack wants it: a customer's name is no link and mentions nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    if len(text) > _TEXT_CHARACTERS:
        cut = text[:_TEXT_CHARACTERS]
        # After a whole line, or else after a whole character: an escaped one is longer.
        text = (cut.rpartition("\n")[0] or re.sub("&[a-z]*$", "", cut)) + "\n..."
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _alert_lines(message: Message) -> Iterator[str]:
    alert = message.alerts[0]
    for name, value in facts(alert):
        yield f"*{name}* {escaped(value)}"
    if alert.get("look_closer"):
        yield f"`{escaped(str(alert['look_closer']).replace('`', ' '))}`"


def _group_lines(message: Message) -> Iterator[str]:
    ordered = worst_first(message.alerts)
    for alert in ordered[:_GROUP_LINES]:
        yield f"• [{severity_of(alert)}] {escaped(sentence(alert))}"
    if len(ordered) > _GROUP_LINES:
        yield f"and {len(ordered) - _GROUP_LINES:,} more"
    yield f"`ratestream alerts show {message.message_id}`"
