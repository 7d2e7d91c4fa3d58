"""Logging: one line an event, plain or JSON, to standard error, with no secret in it."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

_NAMES: Final = "password|passwd|secret|api_key"
_SECRETS: Final = (
    re.compile(r"(?P<keep>://[^\s:/@]*:)[^\s@]+(?=@)"),  # postgresql://user:secret@host
    re.compile(rf"(?P<keep>\b[\w.-]*(?:{_NAMES})[\w.-]*['\"]?\s*[=:]\s*['\"]?)[^\s'\",;}}]+", re.IGNORECASE),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redacted(text: str) -> str:
    """Return the text with what looks like a password replaced by ***."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\g<keep>***", text)
    return text


class _Plain(logging.Formatter):
    """`time level logger message`, time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        text = f"{_instant(record)} {record.levelname} {record.name} {record.getMessage()}{extra}"
        return redacted(text + _trace(self, record))


class _Json(logging.Formatter):
    """One JSON object; what was given as `extra` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _instant(record),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(record.getMessage() + _trace(self, record)),
        }
        extra = {key: redacted(str(value)) for key, value in _extra(record).items()}
        return json.dumps(fields | {key: value for key, value in extra.items() if key not in fields})


def _instant(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return f"\n{formatter.formatException(record.exc_info)}" if record.exc_info else ""


def setup_logging(level: str, form: str) -> None:
    """Send every log record of `level` and above to standard error, `form` being plain or json.

    May be called again; the last call holds.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Plain())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
