"""Log lines: plain or JSON, in UTC, without secrets."""

import json
import logging
from collections.abc import Iterator

import pytest

from runtime import telemetry


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_json_lines_carry_the_extra_fields(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.setup_logging("INFO", "json")
    logging.getLogger("rater").info("committed %s", "frame", extra={"partition": 3})
    written = json.loads(capsys.readouterr().err)
    assert written.pop("time").endswith("Z")
    assert written == {"level": "INFO", "logger": "rater", "message": "committed frame", "partition": "3"}


def test_plain_lines_carry_the_extra_fields_and_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.setup_logging("INFO", "plain")
    try:
        raise KeyError("x")  # noqa: TRY301 - the trace of this is what is tested
    except KeyError:
        logging.getLogger("rater").exception("stopped", extra={"partition": 3})
    assert " ERROR rater stopped partition=3\nTraceback" in capsys.readouterr().err


def test_records_below_the_level_are_dropped_and_a_second_setup_replaces_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry.setup_logging("DEBUG", "plain")
    telemetry.setup_logging("WARNING", "plain")
    logging.getLogger("rater").info("no")
    logging.getLogger("rater").warning("once")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connect postgresql://ratestream:s3cr3t@127.0.0.1/x", "connect postgresql://ratestream:***@127.0.0.1/x"),
        ("sasl.password=s3cr3t, acks=all", "sasl.password=***, acks=all"),
        ("{'sasl.password': 's3cr3t', 'acks': 'all'}", "{'sasl.password': '***', 'acks': 'all'}"),
        ('{"PASSWORD": "s3cr3t"}', '{"PASSWORD": "***"}'),
        ("input_tokens=12", "input_tokens=12"),
        ("postgresql://127.0.0.1:5432/x", "postgresql://127.0.0.1:5432/x"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert telemetry.redacted(text) == expected


def test_secrets_are_masked_in_messages_extras_and_traces(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.setup_logging("INFO", "json")
    try:
        raise ValueError("postgresql://u:s3cr3t@h/d")  # noqa: TRY301 - the trace of this is what is tested
    except ValueError:
        logging.getLogger("x").exception(
            "dsn postgresql://u:s3cr3t@h/d", extra={"dsn": "postgresql://u:s3cr3t@h/d"}
        )
    assert "s3cr3t" not in capsys.readouterr().err
