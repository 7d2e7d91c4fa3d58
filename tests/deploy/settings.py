"""Which sections of settings each service reads; a variable that its service does not read is a fault."""

from collections.abc import Mapping
from typing import Any

from aggregator.settings import AggregatorSettings
from aggregator.totals_settings import TotalsSettings
from budget_guard.adapters.delivery_settings import DeliverySettings
from budget_guard.settings import GuardSettings, OperationsSettings
from ledger.settings import SinkSettings
from rater.settings import RaterSettings
from runtime.health import TelemetrySettings
from runtime.settings import (
    ENV_PREFIX,
    KafkaSettings,
    LogSettings,
    PostgresSettings,
    Section,
    SettingsLoader,
    TopicsSettings,
    WindowSettings,
)

_ALL: dict[str, type[Section]] = {
    "kafka": KafkaSettings,
    "postgres": PostgresSettings,
    "telemetry": TelemetrySettings,
    "log": LogSettings,
}
SECTIONS: Mapping[str, Mapping[str, type[Section]]] = {
    "rater": _ALL | {"rater": RaterSettings, "windows": WindowSettings},
    "ledger": _ALL | {"ledger": SinkSettings},
    "aggregator": _ALL | {"aggregator": AggregatorSettings},
    "totals": _ALL | {"totals": TotalsSettings},
    "guard": _ALL | {"guard": GuardSettings, "delivery": DeliverySettings, "operations": OperationsSettings},
    "setup": _ALL | {"topics": TopicsSettings},
}


def load_all(loader: SettingsLoader, service: str) -> dict[str, Any]:
    """Every section of a service. Raises SettingsError; ValueError for a variable that it does not read."""
    sections = SECTIONS[service]
    known = (f"{ENV_PREFIX}PROJECT_DIR", *(f"{ENV_PREFIX}{name.upper()}__" for name in sections))
    for variable in loader.environ:
        if variable.startswith(ENV_PREFIX) and not variable.startswith(known):
            raise ValueError(f"{variable}: {service} reads {', '.join(sections)}")
    return {name: loader.section(name, model) for name, model in sections.items()}
