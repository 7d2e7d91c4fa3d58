"""Told to stop, the process ends, whatever a library's thread is at."""

import subprocess
import sys

HANGS = """
import threading
from aggregator.__main__ import leave_within
leave_within(0.5)
threading.Thread(target=threading.Event().wait).start()
"""


def test_a_thread_that_never_ends_does_not_keep_the_process() -> None:
    """Found by `make prove`: told to stop while its coordinator was away, an aggregator stayed."""
    done = subprocess.run([sys.executable, "-c", HANGS], timeout=60, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
