"""The runner of the lanes: a lane that hangs in a library ends, says where, and is not taken for a result."""

from pathlib import Path

import pytest

from tests.__main__ import _LAST_FAILED, _Lane

HANGS = """
import signal, time
def test_it():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as in a call that no signal interrupts
    time.sleep(60)
"""


def lane(folder: Path, text: str, *arguments: str) -> _Lane:
    (folder / "test_one.py").write_text(text, encoding="utf-8")
    return _Lane("one", [str(folder)], ["--rootdir", str(folder), *arguments])


def test_a_lane_that_hangs_ends_with_its_stacks_and_without_a_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hung = lane(tmp_path, HANGS, "-o", "faulthandler_timeout=2", "-o", "faulthandler_exit_on_timeout=true")
    assert hung.wait() != 0
    assert hung.died
    assert "test_one.py" in capfd.readouterr().out


@pytest.mark.parametrize(("body", "code"), [("assert True", 0), ("assert False", 1)])
def test_a_result_is_a_result(tmp_path: Path, body: str, code: int) -> None:
    ended = lane(tmp_path, f"def test_it():\n    {body}\n")
    assert ended.wait() == code
    assert not ended.died
    assert ended.failed == code
    assert ended.last_line


def test_only_what_failed_runs_again_and_fails_again(tmp_path: Path) -> None:
    text = "def test_good():\n    pass\n\ndef test_bad():\n    assert False\n"
    assert lane(tmp_path, text).wait() == 1
    again = lane(tmp_path, text, *_LAST_FAILED)
    assert again.wait() == 1
    assert "1 failed" in again.last_line
    assert "passed" not in again.last_line
