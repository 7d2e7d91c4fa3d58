"""What other processes use, as /proc tells it: CPU time, resident memory, children."""

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple, Self

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_USER, _REAPED, _RSS = 11, 13, 21  # fields after the command's name: utime, cutime, rss


class Used(NamedTuple):
    """At an instant (ns, wall clock): CPU seconds since the process began, resident bytes."""

    at_ns: int
    cpu_s: float
    rss: int


def used(pid: int) -> Used | None:
    """What a process uses; None: it is gone."""
    fields = _stat(pid)
    if fields is None:
        return None
    return Used(time.time_ns(), _cpu(fields, _USER), int(fields[_RSS]) * _PAGE)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in found.split()]


def family_cpu_s(pid: int) -> float:
    """CPU seconds of a process, of its children that run, and of those that have ended (PostgreSQL's)."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    running = sum(found.cpu_s for child in children(pid) if (found := used(child)))
    return _cpu(fields, _USER) + _cpu(fields, _REAPED) + running


class Sampler:
    """Writes down what a process uses, 20 times a second, from entering to leaving."""

    def __init__(self, pid: int, every_s: float = 0.05) -> None:
        self.samples: list[Used] = []
        self._pid = pid
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def cpu_at(self, at_ns: int) -> float:
        """CPU seconds at an instant, between the two samples around it."""
        before = self.samples[0]
        for sample in self.samples:
            if sample.at_ns >= at_ns:
                span = sample.at_ns - before.at_ns
                share = (at_ns - before.at_ns) / span if span else 0.0
                return before.cpu_s + (sample.cpu_s - before.cpu_s) * max(0.0, share)
            before = sample
        return before.cpu_s

    def _run(self) -> None:
        while not self._stopping.is_set():
            found = used(self._pid)
            if found is not None:
                self.samples.append(found)
            self._stopping.wait(self._every_s)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _cpu(fields: list[str], first: int) -> float:
    return (int(fields[first]) + int(fields[first + 1])) / _TICKS
