"""What a loop costs: wall time and CPU time of this process, from its first batch on."""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Meter:
    """Starts after the first batch, whose own work is left out: connections and caches are warm then."""

    started_s: float | None = None
    cpu_started_s: float = 0.0
    counted: int = 0
    finished_s: float = 0.0
    cpu_finished_s: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    def batch(self, count: int) -> None:
        """A batch of so many events has been committed."""
        if count == 0:
            return
        if self.started_s is None:
            self.started_s, self.cpu_started_s = time.monotonic(), time.process_time()
            return
        self.counted += count
        self.finished_s, self.cpu_finished_s = time.monotonic(), time.process_time()

    def report(self) -> None:
        """Print the figures as one line of JSON."""
        if self.started_s is None or self.counted == 0:
            sys.exit("no batch beyond the first: publish more events")
        wall_s = self.finished_s - self.started_s
        cpu_s = self.cpu_finished_s - self.cpu_started_s
        figures = {
            "events": self.counted,
            "wall_s": round(wall_s, 3),
            "events_per_s": round(self.counted / wall_s),
            "cpu_s_per_million": round(cpu_s / self.counted * 1_000_000, 2),
            "peak_rss_mib": _peak_rss_kib() // 1024,
            "pid": os.getpid(),
        }
        print(json.dumps(figures | self.extra))


def _peak_rss_kib() -> int:
    """Of this program alone: getrusage would tell that of whoever started it where that was larger."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
