"""Raters as processes, started again when they die, as any supervisor would."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InfrastructureError

_STOP_S = 30
_RESTARTS_MAX = 5


@dataclass
class Raters:
    """So many raters, each in a slot of its own, logging to files."""

    count: int
    environment: Mapping[str, str]
    log_dir: Path
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: int = 0

    def start(self) -> None:
        """Start them all."""
        for slot in range(self.count):
            self._start(slot)

    def kill(self, slot: int) -> int:
        """SIGKILL one, without any warning. Returns its process id."""
        process = self._processes[slot]
        process.send_signal(signal.SIGKILL)
        process.wait()
        return process.pid

    def keep_alive(self) -> None:
        """Start again whatever has died.

        Raises:
            InfrastructureError: they keep dying.
        """
        for slot, process in self._processes.items():
            if process.poll() is not None:
                self.restarts += 1
                if self.restarts > _RESTARTS_MAX:
                    raise InfrastructureError(
                        f"rater {slot} keeps dying, last with exit code {process.returncode}: "
                        f"see {self._log(slot)}"
                    )
                self._start(slot)

    def stop(self) -> None:
        """SIGTERM, and wait until they have left."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, slot: int) -> None:
        with self._log(slot).open("ab") as log:
            self._processes[slot] = subprocess.Popen(
                [sys.executable, "-m", "rater"],
                env={**self.environment, "RATESTREAM_RATER__SLOT": str(slot)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _log(self, slot: int) -> Path:
        return self.log_dir / f"rater-{slot}.log"
