"""Processes that outlive the command which started them: started once, found again, ended by identity.

A service holds a file lock for as long as it or any of its children lives (they inherit the open file), and
its pid file names its number together with its start time. So a number that the system gave to somebody else
is never signalled, and a new service starts only when nothing of the old one is left.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.stack import launch
from runtime.errors import InfrastructureError

POLL_S = 0.05
LAUNCH_S = 20
LOG_BYTES_MAX = 20_000_000


class StackError(InfrastructureError):
    """The local stack cannot do what was asked; the text names the log to read."""


def wait_until(condition: Callable[[], bool], timeout_s: int) -> bool:
    """Ask until the answer is yes; return False when the time is over."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


@contextmanager
def locked(path: Path, timeout_s: int, busy: str) -> Iterator[None]:
    """Hold an exclusive lock on a file; it ends with the process at the latest.

    Raises:
        StackError: someone else held it for all of `timeout_s` seconds; the text is `busy`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if not wait_until(lambda: _try_lock(file.fileno()), timeout_s):
            raise StackError(busy)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Service:
    """One service's files: pid, lock and log."""

    name: str
    pid_file: Path
    lock_file: Path
    log_file: Path

    def pid(self) -> int | None:
        """Return the number of the running service, None if it does not run (whatever the file says)."""
        try:
            record = json.loads(self.pid_file.read_text(encoding="utf-8"))
            pid, started = int(record["pid"]), str(record["started"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # cut off by a full disk: nothing can be known from it
            return None
        return pid if launch.start_token(pid) == started else None

    def start(
        self,
        command: list[str],
        environment: Mapping[str, str],
        directory: Path,
        user: tuple[int, int] | None,
    ) -> None:
        """Start the service in a session of its own.

        Raises:
            StackError: what is left of the previous one does not end, or the launch failed.
        """
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        owner = "-" if user is None else f"{user[0]}:{user[1]}"
        launcher = [sys.executable, "-I", launch.__file__, str(self.pid_file), owner, str(directory)]
        with self.lock_file.open("a") as lock, self.log_file.open("ab") as log:
            if not wait_until(lambda: _try_lock(lock.fileno()), LAUNCH_S):
                raise StackError(f"{self.name}: an earlier process still holds {self.lock_file}")
            self.pid_file.unlink(missing_ok=True)
            subprocess.run(
                [*launcher, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                pass_fds=[lock.fileno()],  # the lock lives as long as the last process that has it open
                check=True,
            )
        if (
            not wait_until(lambda: self.pid_file.exists() or self.ended(), LAUNCH_S)
            or not self.pid_file.exists()
        ):
            raise StackError(f"{self.name} could not be started; see {self.log_file}\n{self.log_tail()}")

    def ended(self) -> bool:
        """Tell whether the service and all of its children are gone."""
        if not self.lock_file.exists():
            return True
        with self.lock_file.open("a") as lock:
            return _try_lock(lock.fileno())

    def stop(self, polite: signal.Signals, timeout_s: int) -> None:
        """End the service politely, after `timeout_s` seconds by SIGKILL. Fine where none runs."""
        pid = self.pid()
        if pid is not None:
            self._signal(pid, polite)
            if not wait_until(self.ended, timeout_s):
                self.kill9()
        self.pid_file.unlink(missing_ok=True)

    def kill9(self) -> None:
        """SIGKILL the service and wait until all of it is gone.

        Raises:
            StackError: its children did not end within 30 seconds.
        """
        pid = self.pid()
        if pid is not None:
            self._signal(pid, signal.SIGKILL)
        # It lets its files go before it is gone: asked in between, it would still seem to run.
        if not wait_until(lambda: self.ended() and self.pid() is None, 30):
            raise StackError(f"{self.name}: killed, but some of its processes still run")

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        if not self.log_file.exists():
            return ""
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it ended between the look and the signal: what was wanted
            os.kill(pid, number)
