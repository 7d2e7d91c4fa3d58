"""What ends the process: files that cannot be written, and being told to while it starts."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rater import __main__ as program
from runtime.errors import InfrastructureError
from runtime.settings import SettingsLoader

ROOT = Path(__file__).parents[3]


class _Fails:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self, _stopping: object) -> None:
        raise self._error


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run main with a rater that fails so."""
    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(program, "tune_collector", lambda: None)

    def run(error: Exception) -> None:
        monkeypatch.setattr(program, "assemble", lambda *_: _Fails(error))
        program.main(SettingsLoader(tmp_path, {}))

    return run


def test_a_state_that_cannot_be_written_is_infrastructure(ends_with: Any) -> None:
    """Found by `make prove`: without room for its files a rater ended as by a bug, with exit code 1."""
    with pytest.raises(InfrastructureError, match=r"local state: IO error: .* File too large") as raised:
        ends_with(Exception("IO error: While appending to file: 000047.sst: File too large"))
    assert raised.value.exit_code == 3


def test_a_bug_stays_a_bug(ends_with: Any) -> None:
    with pytest.raises(KeyError):
        ends_with(KeyError("customer"))


def test_told_to_stop_while_it_starts_it_ends_at_once(tmp_path: Path) -> None:
    """Found by `make prove`: while every broker was away it heard SIGTERM when its client gave up."""
    environment = os.environ | {
        "RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "RATESTREAM_POSTGRES__DSN": "host=127.0.0.1 port=1 user=u dbname=d",
        "RATESTREAM_RATER__STATE_DIR": str(tmp_path / "state"),
    }
    rater = subprocess.Popen([sys.executable, "-m", "rater"], cwd=ROOT, env=environment)
    try:
        end_s = time.monotonic() + 60
        while not (tmp_path / "state").exists() and time.monotonic() < end_s:
            time.sleep(0.05)
        rater.send_signal(signal.SIGTERM)
        assert rater.wait(20) == 0
    finally:
        rater.kill()
        rater.wait()
