"""Failpoints: the order is parsed strictly and carried out at the point and time it names."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.failpoints import (
    AbortRequested,
    ArmedFailpoints,
    FailpointError,
    NoFailpoints,
    failpoints_from,
)

KNOWN = frozenset({"one", "two"})


def test_without_an_order_every_point_is_off() -> None:
    for environ in ({}, {"RATESTREAM_FAILPOINTS": " "}):
        points = failpoints_from(environ, KNOWN)
        assert isinstance(points, NoFailpoints)
        points.hit("one")


def test_an_order_acts_at_its_time_and_only_then(tmp_path: Path) -> None:
    log = tmp_path / "log"
    points = failpoints_from(
        {"RATESTREAM_FAILPOINTS": "one:2:raise, two:1:abort", "RATESTREAM_FAILPOINTS_LOG": str(log)}, KNOWN
    )
    points.hit("one")
    assert not log.exists()
    with pytest.raises(FailpointError, match="one"):
        points.hit("one")
    with pytest.raises(AbortRequested, match="two"):
        points.hit("two")
    points.hit("one")
    points.hit("two")
    assert log.read_text(encoding="ascii") == "one raise\ntwo abort\n"


def test_sleep_waits() -> None:
    started = time.monotonic()
    ArmedFailpoints("one:1:sleep=0", KNOWN).hit("one")
    assert time.monotonic() - started < 1
    ArmedFailpoints("one:1:sleep=1", KNOWN).hit("one")
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("one", "must be name:nth:action"),
        ("one:1", "must be name:nth:action"),
        ("one:0:kill", "with nth from 1"),
        ("one:x:kill", "with nth from 1"),
        ("three:1:kill", "no point 'three'; there are one, two"),
        ("one:1:explode", "must be kill, stop, raise, abort or sleep=SECONDS"),
        ("one:1:sleep=1.5", "must be kill, stop, raise, abort or sleep=SECONDS"),
        ("one:1:sleep=", "must be kill, stop, raise, abort or sleep=SECONDS"),
    ],
)
def test_a_malformed_order_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        failpoints_from({"RATESTREAM_FAILPOINTS": spec}, KNOWN)


def test_a_point_that_was_not_declared_is_a_bug() -> None:
    with pytest.raises(KeyError, match="three"):
        ArmedFailpoints("one:1:kill", KNOWN).hit("three")


def test_kill_leaves_no_time_for_anything(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys; from pathlib import Path; from runtime.failpoints import ArmedFailpoints\n"
        "points = ArmedFailpoints('one:1:kill', frozenset({'one'}), Path(sys.argv[1]))\n"
        "try:\n    points.hit('one')\nfinally:\n    print('still here')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(log)], capture_output=True, check=False, timeout=30
    )
    assert (ended.returncode, ended.stdout) == (-9, b"")
    assert log.read_text(encoding="ascii") == "one kill\n"
