"""Settings: `ratestream.toml`, overridden by RATESTREAM_<SECTION>__<KEY>, overridden by flags.

The local stack's `.ratestream/stack.json` gives the endpoints where none of them names one.
This module is the only reader of the process's environment.
"""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from runtime.errors import InfrastructureError, UsageProblemError

SETTINGS_FILE = "ratestream.toml"
STATE_DIR = ".ratestream"
STACK_FILE = "stack.json"
ENV_PREFIX = "RATESTREAM_"
DAY_S = 86_400

# A section of stack.json is used only where nobody names that section's endpoint: its other values
# (4 partitions, one replica) are true of the local stack alone.
_ENDPOINTS = {"kafka": "bootstrap_servers", "postgres": "dsn"}


class SettingsError(UsageProblemError):
    """A setting is wrong: the text names section, key, value, where it was read, and the rule."""


class MissingEndpointError(InfrastructureError):
    """No Kafka or PostgreSQL is named and the local stack is not up."""


class Section(BaseModel):
    """A section of the settings: unknown keys are errors, values are fixed once read.

    A key that holds a secret may be given as `<key>_file`, the path of a file that holds the value; one of
    `kept_outside` must not stand in the settings file itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    kept_outside: ClassVar[frozenset[str]] = frozenset()


class KafkaSettings(Section):
    """How to reach Kafka, and the shape of the topics there."""

    bootstrap_servers: str = Field(min_length=1, description="host:port, comma separated")
    topic_prefix: str = Field(default="", pattern=r"^[a-zA-Z0-9._-]{0,100}$")
    partitions: int = Field(default=24, ge=1, le=10_000, description="of every topic, fixed at creation")
    replication_factor: int = Field(default=3, ge=1, le=32_767)
    min_insync_replicas: int | None = Field(
        default=None, ge=1, description="default: one less than the replicas"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    ssl_key_location: str | None = None
    ssl_key_password: SecretStr | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError(
                f"{self.security_protocol} needs sasl_mechanism, sasl_username and sasl_password"
            )
        if self.min_insync_replicas is not None and self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas {self.min_insync_replicas} is above "
                f"replication_factor {self.replication_factor}"
            )
        return self

    @property
    def in_sync(self) -> int:
        """The replicas that must have a record before it is acknowledged."""
        return self.min_insync_replicas or max(1, self.replication_factor - 1)

    def client_config(self) -> dict[str, Any]:
        """Return the connection part of a librdkafka configuration; it holds secrets: never log it."""
        values: dict[str, str | SecretStr | None] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
            # librdkafka's information lines are about its own housekeeping: warnings and worse are enough.
            "log_level": "5",
        }
        return {
            key: value.get_secret_value() if isinstance(value, SecretStr) else value
            for key, value in values.items()
            if value is not None
        }


class PostgresSettings(Section):
    """How to reach PostgreSQL."""

    dsn: SecretStr


class WindowSettings(Section):
    """How long identities are remembered and how far event time may be from append time, in seconds."""

    late_s: int = Field(default=35 * DAY_S, ge=1)
    replay_s: int = Field(default=42 * DAY_S, ge=1)
    future_s: int = Field(default=300, ge=0)
    digest_bucket_s: int = Field(default=DAY_S, ge=1)
    state_refresh_s: int = Field(default=7 * DAY_S, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.replay_s < self.late_s:
            raise ValueError(f"replay_s {self.replay_s} is shorter than late_s {self.late_s}")
        return self


class TopicsSettings(Section):
    """Retention and segment time by topic name, in seconds, in place of those declared."""

    retention_s: dict[str, int] = Field(default_factory=dict)
    segment_s: dict[str, int] = Field(default_factory=dict)


class LogSettings(Section):
    """What is logged, and in which form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["plain", "json"] = "plain"


SectionT = TypeVar("SectionT", bound=Section)


def process_environment() -> dict[str, str]:
    """Return a copy of the process's environment."""
    return dict(os.environ)  # noqa: TID251 - this module is where the environment is read


def find_project_dir(start: Path, environ: Mapping[str, str]) -> Path:
    """Return RATESTREAM_PROJECT_DIR, else the nearest folder upwards with a settings file, else `start`."""
    given = environ.get(f"{ENV_PREFIX}PROJECT_DIR")
    if given:
        path = Path(given)
        if not path.is_dir():
            raise SettingsError(f"{ENV_PREFIX}PROJECT_DIR = {given!r}: must be an existing directory")
        return path.resolve()
    here = start.resolve()
    return next((folder for folder in (here, *here.parents) if (folder / SETTINGS_FILE).is_file()), here)


@dataclass(frozen=True)
class _Value:
    """A raw value and the place it was read from."""

    raw: Any
    origin: str


@dataclass
class SettingsLoader:
    """Reads sections of settings; `overrides` are the flags, by section and key."""

    project_dir: Path
    environ: Mapping[str, str]
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of_process(cls, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Self:
        """Return the loader for this process: its environment, the project around its working directory."""
        environ = process_environment()
        return cls(find_project_dir(Path.cwd(), environ), environ, overrides or {})

    @property
    def state_dir(self) -> Path:
        """The project's directory for everything that a machine writes."""
        return self.project_dir / STATE_DIR

    def names_endpoint(self, name: str) -> bool:
        """Tell whether file, environment or flags name the service; if not, the local stack serves."""
        endpoint = _ENDPOINTS[name]
        values = self._from_file(name) | self._from_environment(name) | self._from_flags(name)
        return bool(values.keys() & {endpoint, f"{endpoint}_file"})

    def section(self, name: str, model: type[SectionT]) -> SectionT:
        """Return the section, checked.

        Raises:
            SettingsError: a value is unknown, missing or breaks a rule.
            MissingEndpointError: Kafka or PostgreSQL is not named and the local stack is not up.
        """
        values = self._from_file(name) | self._from_environment(name) | self._from_flags(name)
        endpoint = _ENDPOINTS.get(name)
        if endpoint in model.model_fields and not values.keys() & {endpoint, f"{endpoint}_file"}:
            values = self._from_stack(name) | values
            if not values.keys() & {endpoint, f"{endpoint}_file"}:
                raise MissingEndpointError(
                    f"{name}.{endpoint} is not set and the local stack is not up: run `ratestream stack up`, "
                    f"or set {ENV_PREFIX}{name.upper()}__{str(endpoint).upper()}"
                )
        return self._checked(name, model, values)

    def tables(
        self, name: str, model_of: Callable[[str, Mapping[str, Any]], type[SectionT]]
    ) -> dict[str, SectionT]:
        """Return the tables `[<name>.<table>]` by name, each checked by the class that `model_of` finds.

        A variable RATESTREAM_<NAME>__<TABLE>__<KEY> goes before the file's value; its table is spelt as in
        the file, in capitals, with _ for -.

        Raises:
            SettingsError: a value is unknown, missing or breaks a rule.
        """
        found: dict[str, dict[str, _Value]] = {}
        for table, value in (self._from_file(name) | self._from_flags(name)).items():
            if not isinstance(value.raw, dict):
                raise SettingsError(
                    f"{name}.{table} = {value.raw!r} (from {value.origin}): must be a table of settings"
                )
            found[table] = {key: _Value(raw, value.origin) for key, raw in value.raw.items()}
        spelt = {table.replace("-", "_"): table for table in found}
        for path, value in self._from_environment(name).items():
            table, _, key = path.partition("__")
            if not key:
                raise SettingsError(f"{value.origin}: must name a table and a key: {value.origin}__<KEY>")
            found.setdefault(spelt.get(table, table), {})[key] = value
        return {
            table: self._checked(
                f"{name}.{table}", model_of(table, {key: value.raw for key, value in values.items()}), values
            )
            for table, values in sorted(found.items())
        }

    def _checked(self, name: str, model: type[SectionT], values: dict[str, _Value]) -> SectionT:
        for key in sorted(model.kept_outside & values.keys()):
            if values[key].origin == SETTINGS_FILE:
                variable = f"{ENV_PREFIX}{name.replace('.', '__').replace('-', '_').upper()}__{key.upper()}"
                raise SettingsError(
                    f"{name}.{key} (from {SETTINGS_FILE}): a secret does not stand there: give {key}_file, "
                    f"or set {variable}"
                )
        values = {
            key: value
            for key, value in self._secrets_read(name, model, values).items()
            if value.raw is not None
        }
        try:
            return model.model_validate({key: value.raw for key, value in values.items()})
        except ValidationError as error:
            raise SettingsError(_describe(name, model, values, error)) from None

    def _from_file(self, name: str) -> dict[str, _Value]:
        path = self.project_dir / SETTINGS_FILE
        if not path.is_file():
            return {}
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SettingsError(f"{path}: not a TOML file: {error}") from None
        section = table.get(name, {})
        if not isinstance(section, dict):
            raise SettingsError(f"{name} = {section!r} (from {SETTINGS_FILE}): must be a table of settings")
        return {key: _Value(raw, SETTINGS_FILE) for key, raw in section.items()}

    def _from_environment(self, name: str) -> dict[str, _Value]:
        prefix = f"{ENV_PREFIX}{name.upper()}__"
        found = {}
        for variable, text in self.environ.items():
            if variable.startswith(prefix):
                raw: Any = text
                if text.startswith(("{", "[")):
                    try:
                        raw = json.loads(text)
                    except (ValueError, RecursionError) as error:
                        raise SettingsError(f"{variable} = {text!r}: not valid JSON: {error}") from None
                found[variable.removeprefix(prefix).lower()] = _Value(raw, variable)
        return found

    def _from_flags(self, name: str) -> dict[str, _Value]:
        flags = self.overrides.get(name, {})
        return {
            key: _Value(raw, f"--{key.replace('_', '-')}") for key, raw in flags.items() if raw is not None
        }

    def _from_stack(self, name: str) -> dict[str, _Value]:
        path = self.state_dir / STACK_FILE
        try:
            stack = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: not valid JSON: {error}; run `ratestream stack up`") from None
        if not stack.get("up"):
            return {}
        return {
            key: _Value(raw, f"{STATE_DIR}/{STACK_FILE}")
            for key, raw in stack["settings"].get(name, {}).items()
        }

    def _secrets_read(self, name: str, model: type[Section], values: dict[str, _Value]) -> dict[str, _Value]:
        """Replace each `<secret>_file` by the content of that file."""
        result = dict(values)
        for key, info in model.model_fields.items():
            pointer = values.get(f"{key}_file")
            if pointer is None or "SecretStr" not in str(info.annotation):
                continue
            if key in values:
                raise SettingsError(f"{name}.{key} and {name}.{key}_file are both set: give one")
            path = self.project_dir / str(pointer.raw)
            try:
                secret = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise SettingsError(
                    f"{name}.{key}_file = {str(pointer.raw)!r} (from {pointer.origin}): "
                    f"cannot be read: {reason}"
                ) from None
            del result[f"{key}_file"]
            result[key] = _Value(secret, f"{name}.{key}_file")
        return result


def _describe(name: str, model: type[Section], values: Mapping[str, _Value], error: ValidationError) -> str:
    """Say which setting breaks which rule, one line each, never showing a secret."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        rule = item["msg"].removeprefix("Value error, ")
        path = [str(part) for part in item["loc"]]
        if not path:
            lines.append(f"[{name}]: {rule}")
            continue
        key = path[0]
        value = values.get(key)
        if item["type"] == "extra_forbidden":
            rule = "no such setting; known are " + ", ".join(sorted(model.model_fields))
        if value is None:
            lines.append(f"{name}.{key}: {rule}")
            continue
        info = model.model_fields.get(key)
        secret = info is None or "SecretStr" in str(info.annotation)
        shown = "(not shown)" if secret else repr(value.raw)
        lines.append(f"{name}.{'.'.join(path)} = {shown} (from {value.origin}): {rule}")
    return "\n".join(lines)
