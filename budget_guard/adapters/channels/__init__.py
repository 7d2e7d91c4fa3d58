"""The channels that exist, and those that are set up. A new one is a file here and an entry in `REGISTRY`."""

import re
from collections.abc import Mapping
from typing import Any, Final

from budget_guard.adapters.addresses import Resolver
from budget_guard.adapters.channels.channel import Channel, ChannelSettings
from budget_guard.adapters.channels.log import Log, LogSettings
from budget_guard.adapters.channels.slack import Slack
from budget_guard.adapters.channels.webhook import Webhook
from runtime.clock import Clock
from runtime.settings import SettingsError, SettingsLoader

REGISTRY: Final[Mapping[str, type[Channel]]] = {"webhook": Webhook, "slack": Slack, "log": Log}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def channels_from(
    loader: SettingsLoader, clock: Clock, resolver: Resolver | None = None
) -> dict[str, Channel]:
    """The channels of the settings by name; one called `log` is always there.

    Raises:
        SettingsError: a table is wrong; no secret is shown.
    """
    found: dict[str, Channel] = {"log": Log("log", LogSettings(type="log"), clock)}
    for name, settings in loader.tables("channels", _settings_of).items():
        found[name] = REGISTRY[settings.type](name, settings, clock, resolver)
    return found


def _settings_of(name: str, values: Mapping[str, Any]) -> type[ChannelSettings]:
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"channels.{name}: a channel's name is 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit"
        )
    kind = values.get("type")
    if not isinstance(kind, str) or kind not in REGISTRY:
        raise SettingsError(f"channels.{name}.type = {kind!r}: must be one of {', '.join(sorted(REGISTRY))}")
    return REGISTRY[kind].Settings
