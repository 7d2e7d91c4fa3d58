"""Bounds of what comes in, each with an input beyond it; docs/reference/limits.md names these tests."""

import http.client
import io
import json
import socket
import threading
from pathlib import Path

import pytest

from cli.correct import read_event
from cli.lines import LINE_BYTES_MAX, lines_of
from rate_book import yaml_text
from rate_book.errors import BookInvalidError
from rate_book.yaml_text import read_yaml
from rater.adapters.decoding import decode_event
from rater.core.rejection import Reject
from runtime.clock import SystemClock
from runtime.errors import UsageProblemError
from runtime.health import REQUESTS_MAX, Health, HealthServer
from runtime.metrics import Metrics
from runtime.progress import Progress
from runtime.settings import LogSettings, SettingsError, SettingsLoader
from schemas.codec import encode
from schemas.correction_rules import check_correction
from schemas.errors import InvalidEvent
from tests.unit.schemas.wire_samples import EVENT, RECORDS


def refused_yaml(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    with pytest.raises(BookInvalidError) as caught:
        read_yaml(path)
    return str(caught.value)


def test_aliases_do_not_multiply_without_end(tmp_path: Path) -> None:
    """Twenty names, each two of the one before: 2^20 values and more, in a file of some hundred bytes."""
    laughs = "n0: &n0 [x, x]\n" + "".join(f"n{n}: &n{n} [*n{n - 1}, *n{n - 1}]\n" for n in range(1, 20))
    assert "more than 1000000 values" in refused_yaml(tmp_path / "a.yaml", laughs)
    assert "*a stands for what it is a part of" in refused_yaml(tmp_path / "a.yaml", "a: &a [x, *a]")
    (tmp_path / "a.yaml").write_text("a: &a {b: c}\nd: [*a, *a]\n", "utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": "c"}, "d": [{"b": "c"}, {"b": "c"}]}


def test_a_book_is_not_nested_without_end(tmp_path: Path) -> None:
    assert "nested in more than 50" in refused_yaml(tmp_path / "a.yaml", "a: " + "[" * 51 + "]" * 51)
    assert "nested in more than 50" in refused_yaml(tmp_path / "a.yaml", "a: " + "[" * 100_000)


def test_a_file_of_a_book_is_not_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "_BYTES_MAX", 10)
    assert "has 11 bytes, at most 10" in refused_yaml(tmp_path / "a.yaml", "a: 23456789")


def test_a_line_is_not_of_any_length() -> None:
    longest = b"x" * (LINE_BYTES_MAX - 1) + b"\n"
    assert list(lines_of(io.BytesIO(longest + b"y"))) == [longest, b"y"]
    lines = lines_of(io.BytesIO(b"1\n" + b"x" + longest))
    assert next(lines) == b"1\n"
    with pytest.raises(UsageProblemError, match="line 2 has more than 4194304 bytes"):
        next(lines)


def test_a_file_with_an_event_is_not_of_any_size(tmp_path: Path) -> None:
    """What is behind the limit is not left out in silence."""
    (tmp_path / "event.json").write_bytes(b"{}" + b" " * LINE_BYTES_MAX)
    with pytest.raises(UsageProblemError, match="more than 4194304 bytes"):
        read_event(tmp_path / "event.json")


def test_settings_are_not_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "ratestream.toml").write_text("log = " + "[" * 100_000, "utf-8")
    with pytest.raises(SettingsError, match="not a TOML file"):
        SettingsLoader(tmp_path, {}).section("log", LogSettings)
    (tmp_path / "ratestream.toml").unlink()
    with pytest.raises(SettingsError, match="not valid JSON"):
        SettingsLoader(tmp_path, {"RATESTREAM_LOG__LEVEL": "[" * 100_000}).section("log", LogSettings)


def test_the_health_server_has_so_many_threads_and_answers_one_more(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Connections that never end to ask hold every place: a probe is answered all the same, for else whoever
    restarts what is not live would end a healthy process. The oldest is closed.
    """
    progress, before = Progress(SystemClock()), threading.active_count()
    server = HealthServer("127.0.0.1:0", Metrics("rater"), Health(progress, SystemClock(), limit_s=60))
    host, _, port = server.address.partition(":")
    idle = [socket.create_connection((host, int(port)), timeout=5) for _ in range(REQUESTS_MAX)]
    try:
        for connection in idle:
            connection.sendall(b"GET /livez HT")
        for _ in range(3):
            asked = http.client.HTTPConnection(host, int(port), timeout=5)
            asked.request("GET", "/livez")
            assert json.loads(asked.getresponse().read()) == {"ok": True, "why": []}
            asked.close()
        assert idle[0].recv(1) == b""
        assert threading.active_count() <= before + 1 + REQUESTS_MAX
    finally:
        for connection in idle:
            connection.close()
        server.close()
    assert "Traceback" not in capfd.readouterr().err


def test_an_event_is_not_of_any_size() -> None:
    value = encode("UsageEvent", EVENT)
    assert decode_event(value)["event_id"] == EVENT["event_id"]
    with pytest.raises(Reject) as caught:
        decode_event(value + b"x" * 1024 * 1024)
    assert caught.value.reason == "too_large"


def test_a_correction_closes_so_many_periods() -> None:
    closes = [{"pool": "tokens", "start_us": number} for number in range(1001)]
    rerate = RECORDS["Correction"] | {"command": "rerate", "book_version": 4, "amended_event": None}
    check_correction(rerate | {"closes": closes[:1000]})
    with pytest.raises(InvalidEvent, match="at most 1000 periods"):
        check_correction(rerate | {"closes": closes})
    with pytest.raises(InvalidEvent, match="at most 1024 characters"):
        check_correction(rerate | {"reason": "x" * 1025})
