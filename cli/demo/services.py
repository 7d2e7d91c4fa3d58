"""The demo's services as processes, started again when they die, as any supervisor would."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from runtime.errors import InfrastructureError

_STOP_S = 30
_RESTARTS_MAX = 5
_MODULES = {"guard": "budget_guard", "totals": "aggregator.totals"}


class Worker(NamedTuple):
    """One process of a service, in a slot of its own."""

    service: str
    slot: int

    @property
    def name(self) -> str:
        return f"{self.service}-{self.slot}"

    @property
    def module(self) -> str:
        return _MODULES.get(self.service, self.service)

    def environment(self) -> dict[str, str]:
        return {f"RATESTREAM_{self.service.upper()}__SLOT": str(self.slot)}


@dataclass
class Services:
    """Workers, each logging to a file of its own."""

    workers: Sequence[Worker]
    environment: Mapping[str, str]
    log_dir: Path
    _processes: dict[Worker, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: int = 0

    def start(self) -> None:
        """Start them all."""
        for worker in self.workers:
            self._start(worker)

    def kill(self, worker: Worker) -> int:
        """SIGKILL one, without any warning. Returns its process id."""
        process = self._processes[worker]
        process.send_signal(signal.SIGKILL)
        process.wait()
        return process.pid

    def keep_alive(self) -> None:
        """Start again whatever has died.

        Raises:
            InfrastructureError: they keep dying.
        """
        for worker, process in self._processes.items():
            if process.poll() is not None:
                self.restarts += 1
                if self.restarts > _RESTARTS_MAX:
                    raise InfrastructureError(
                        f"{worker.name} keeps dying, last with exit code {process.returncode}: "
                        f"see {self._log(worker)}"
                    )
                self._start(worker)

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

    def _start(self, worker: Worker) -> None:
        with self._log(worker).open("ab") as log:
            self._processes[worker] = subprocess.Popen(
                [sys.executable, "-m", worker.module],
                env={**self.environment, **worker.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _log(self, worker: Worker) -> Path:
        return self.log_dir / f"{worker.name}.log"
