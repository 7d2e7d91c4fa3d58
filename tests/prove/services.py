"""The pipeline's processes, and what an operating system does about them: whatever dies is started again."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cli.stack import launch
from tests.fix_stack import ROOT
from tests.prove.journal import Journal

LOUD = frozenset({3, 70})
"""Exit codes of a process that stopped because of its surroundings: start it again."""
ASSERTION = "rd_kafka_enq_once_del_source_return: Assertion"
"""Of librdkafka 2.16: it ends the process where a broker dies under an admin client's question about offsets,
at times by SIGSEGV instead. The previous release still asks that way: told, and counted as a loud stop.
"""
_LOOK_S = 0.1
_BACK_OFF_FIRST_S, _BACK_OFF_MAX_S, _SETTLED_S = 0.3, 4.0, 8.0
_STOP_S = 60.0
"""So long may a process go on after SIGTERM: one that starts while all brokers are away hears it late."""
_MODULES = {"guard": "budget_guard", "totals": "aggregator.totals"}


class Life(NamedTuple):
    """What one life of a process is given beside its settings."""

    failpoints: str = ""
    clock_offset_s: int = 0
    file_limit_kib: int | None = None
    previous: bool = False


@dataclass
class Worker:
    """One process of a service in its slot, through all of its lives."""

    service: str
    slot: int
    life: Life = Life()  # noqa: RUF009 - immutable
    wanted: bool = False
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0
    next_life: Life | None = None
    """What the supervisor gives it when it has died; None: an ordinary one."""
    paused: bool = False
    doomed: str = ""
    """Why it is about to die, where the nemesis sees to it."""
    begun_s: float = 0.0
    again_s: float = 0.0
    back_off_s: float = _BACK_OFF_FIRST_S
    lock: threading.RLock = field(default_factory=threading.RLock)
    free: threading.RLock = field(default_factory=threading.RLock)
    """Held by the one fault that is at work on it."""

    @property
    def name(self) -> str:
        return f"{self.service}-{self.slot}"

    @property
    def module(self) -> str:
        return _MODULES.get(self.service, self.service)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Services:
    """Starts, kills, stops and pauses workers; a thread restarts what has died.

    Args:
        environment: of every process.
        previous_dir: the release before this one, unpacked; None where there is none.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], journal: Journal, failures: list[str],
        previous_dir: Path | None,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.previous_dir = previous_dir
        self._environment = dict(environment)
        self._journal = journal
        self._failures = failures
        self._workers: dict[str, Worker] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        for name in ("logs", "failpoints"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self._thread.start()

    # --- what the nemesis does ---

    def worker(self, name: str) -> Worker:
        """The worker of a name such as rater-0."""
        if name not in self._workers:
            service, _, slot = name.rpartition("-")
            self._workers[name] = Worker(service, int(slot))
        return self._workers[name]

    def names(self, service: str = "") -> list[str]:
        """Workers that should run, of one service or of all."""
        return [name for name, worker in self._workers.items() if worker.wanted and name.startswith(service)]

    @contextmanager
    def alone(self, *names: str) -> Iterator[None]:
        """Nobody else's fault touches these meanwhile; one lock after the other, in order of their names."""
        if not names:
            yield
            return
        first, *others = sorted(names)
        with self.worker(first).free, self.alone(*others):
            yield

    def start(self, name: str, life: Life = Life()) -> Worker:  # noqa: B008 - immutable
        """Start a worker that does not run."""
        worker = self.worker(name)
        with worker.lock:
            worker.wanted = True
            worker.next_life = None
            self._spawn(worker, life)
        return worker

    def then(self, name: str, life: Life) -> None:
        """What it is given once it has died, in place of an ordinary life."""
        self.worker(name).next_life = life

    def stop(self, name: str) -> int | None:
        """SIGTERM, wait, and do not start it again. Returns the exit code."""
        worker = self.worker(name)
        with worker.lock:
            worker.wanted = False
            process = worker.process
            if process is None:
                return None
            self._resume(worker)
            worker.doomed = worker.doomed or "told to stop"
            with suppress(ProcessLookupError):
                process.terminate()
        try:
            code = process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._failures.append(f"{name} did not stop within {_STOP_S:.0f} s of SIGTERM")
            process.kill()
            code = process.wait()
        with worker.lock:
            self._ended(worker, code)
        return code

    def kill(self, name: str, *, again: bool = True) -> None:
        """SIGKILL; started again by the supervisor, or not."""
        worker = self.worker(name)
        with worker.lock:
            worker.wanted = again
            worker.doomed = "SIGKILL"
            if worker.process is not None:
                worker.process.kill()
                self._ended(worker, worker.process.wait())

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        worker = self.worker(name)
        with worker.lock:
            if worker.process is not None and worker.running:
                worker.process.send_signal(signal.SIGSTOP)
                worker.paused = True

    def resume(self, name: str) -> None:
        """SIGCONT."""
        with self.worker(name).lock:
            self._resume(self.worker(name))

    # --- what can be seen of them ---

    def log_path(self, name: str, life: int | None = None) -> Path:
        """The log of a worker's life, by default the newest."""
        number = self.worker(name).lives if life is None else life
        return self.directory / "logs" / f"{name}-{number:03d}.log"

    def log(self, name: str, life: int | None = None) -> str:
        """Its text so far."""
        path = self.log_path(name, life)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def acted(self, name: str, life: int | None = None) -> list[str]:
        """Failpoints that have acted in this life: "name action"."""
        number = self.worker(name).lives if life is None else life
        path = self.directory / "failpoints" / f"{name}-{number:03d}.log"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def close(self) -> list[str]:
        """Stop them all, side by side. Returns which did not end as they should."""
        self._ending.set()
        self._thread.join()
        threads = [
            threading.Thread(target=self.stop, args=(name,), daemon=True)
            for name, worker in self._workers.items()
            if worker.process is not None
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return list(self._failures)

    def kill_all(self) -> None:
        """At once, for an end in a hurry."""
        self._ending.set()
        for worker in self._workers.values():
            worker.wanted = False
            if worker.running and worker.process is not None:
                worker.doomed = "the run ends"
                worker.process.kill()

    # --- the supervisor ---

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK_S):
            for worker in list(self._workers.values()):
                with worker.lock:
                    self._look(worker)

    def _look(self, worker: Worker) -> None:
        if worker.process is not None:
            code = worker.process.poll()
            if code is None:
                if time.monotonic() - worker.begun_s > _SETTLED_S:
                    worker.back_off_s = _BACK_OFF_FIRST_S
                return
            self._ended(worker, code)
        if worker.wanted and time.monotonic() >= worker.again_s:
            life, worker.next_life = worker.next_life, None
            self._spawn(worker, life or Life(previous=worker.life.previous))

    def _ended(self, worker: Worker, code: int) -> None:
        if worker.process is None:
            return
        worker.process = None
        worker.paused = False
        if not worker.doomed and self.acted(worker.name) and worker.life.failpoints:
            worker.doomed = "failpoint"
        expected = worker.doomed
        self._journal.add("ended", name=worker.name, exit_code=code, expected=expected, life=worker.lives)
        for line in self.acted(worker.name):
            point, _, action = line.partition(" ")
            self._journal.add("failpoint", process=worker.name, name=point, action=action)
        aborted = code == -signal.SIGABRT and ASSERTION in self.log(worker.name)
        library = worker.life.previous and (aborted or code == -signal.SIGSEGV)
        if library:
            self._journal.add("library", name=worker.name, exit_code=code)
        if not (expected or library or code in LOUD):
            log = self.log_path(worker.name)
            self._failures.append(f"{worker.name} ended with exit code {code} by itself: see {log}")
        worker.doomed = ""
        worker.again_s = time.monotonic() + worker.back_off_s
        worker.back_off_s = min(worker.back_off_s * 2, _BACK_OFF_MAX_S)

    def _spawn(self, worker: Worker, life: Life) -> None:
        if worker.running:
            raise RuntimeError(f"{worker.name} runs already")
        worker.life = life
        worker.lives += 1
        number = f"{worker.name}-{worker.lives:03d}"
        environment = self._environment | {
            f"RATESTREAM_{worker.service.upper()}__SLOT": str(worker.slot),
            "RATESTREAM_FAILPOINTS": life.failpoints,
            "RATESTREAM_FAILPOINTS_LOG": str(self.directory / "failpoints" / f"{number}.log"),
            "PYTHONFAULTHANDLER": "1",
        }
        if life.clock_offset_s:
            environment["RATESTREAM_CLOCK_OFFSET_S"] = str(life.clock_offset_s)
        command = [sys.executable, "-m", worker.module]
        if life.file_limit_kib is not None:
            # POSIX counts blocks of 512 bytes.
            command = ["/bin/sh", "-c", f'ulimit -f {life.file_limit_kib * 2}; exec "$@"', "sh", *command]
        previous = life.previous and self.previous_dir is not None
        with self.log_path(worker.name).open("wb") as log:
            worker.process = subprocess.Popen(
                command,
                cwd=self.previous_dir if previous else ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        worker.begun_s = time.monotonic()
        self._remember(worker.process.pid)
        self._journal.add(
            "started", name=worker.name, pid=worker.process.pid, life=worker.lives,
            release="previous" if previous else "this", **_told(life),
        )  # fmt: skip

    def _remember(self, pid: int) -> None:
        """So that the next run can end what a killed one left."""
        with (self.directory / "pids.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"pid": pid, "started": launch.start_token(pid)}) + "\n")

    @staticmethod
    def _resume(worker: Worker) -> None:
        if worker.paused and worker.process is not None:
            worker.process.send_signal(signal.SIGCONT)
        worker.paused = False


def end_left_overs(pids: Path) -> None:
    """SIGKILL the processes of a run that was killed itself: those that are still the same ones."""
    if not pids.exists():
        return
    for line in pids.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        pid = int(record["pid"])
        if record["started"] is not None and launch.start_token(pid) == record["started"]:
            subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)


def _told(life: Life) -> dict[str, object]:
    return {name: value for name, value in life._asdict().items() if value and name != "previous"}
