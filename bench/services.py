"""Services of the project as processes of a benchmark, each with a log of its own."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_STOP_S = 30
_TAIL = 2_000


@dataclass
class Services:
    """Starts, kills and stops; `log_dir` has a file for each name."""

    environment: Mapping[str, str]
    log_dir: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, module: str, *arguments: str, wrapped: tuple[str, ...] = ()) -> int:
        """Start a module under a name, and return its process id."""
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*wrapped, sys.executable, "-m", module, *arguments],
                env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self.running[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raises SystemExit with the log's end where one has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                tail = self.log(name).read_text(encoding="utf-8", errors="replace")[-_TAIL:]
                sys.exit(f"{name} ended with {process.returncode}:\n{tail}")

    def stop(self) -> None:
        """SIGTERM all, and wait."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def log(self, name: str) -> Path:
        return self.log_dir / f"{name}.log"
