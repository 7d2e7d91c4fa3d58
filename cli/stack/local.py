"""The local stack of one project as a whole: up, down, status, reset."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cli.stack import ports
from cli.stack.kafka import PARTITIONS, VERSION, Kafka
from cli.stack.place import Place
from cli.stack.postgres import Postgres
from cli.stack.process import StackError, locked
from runtime import probe

PORT_NAMES = ["kafka", "controller", "postgres"]
_KEPT = {"jars", "logs", "lock"}

Progress = Callable[[str], None]


def _silent(_step: str) -> None:
    pass


@dataclass(frozen=True)
class LocalStack:
    """Kafka and PostgreSQL as plain processes of this project. Every call may be repeated.

    `jars_dir` lets a second project use jars that are there already.
    """

    project_dir: Path
    jars_dir: Path | None = None

    @cached_property
    def place(self) -> Place:
        return Place(self.project_dir, self.jars_dir)

    @property
    def kafka(self) -> Kafka:
        return Kafka(self.place)

    @cached_property
    def postgres(self) -> Postgres:
        return Postgres(self.place)

    def up(self, progress: Progress = _silent) -> dict[str, Any]:
        """Start what does not run, wait until both answer, and return the stack's description.

        Raises:
            StackError: jars, a start or an answer is missing; the text says which.
        """
        with self._alone():
            self.kafka.fetch(lambda done, of: progress(f"Kafka's jars: {done} of {of} fetched and checked"))
            progress("starting Kafka and PostgreSQL")
            chosen = self._ports()
            try:
                self._start(chosen)
            except StackError:
                again = self._ports()
                if again == chosen:
                    raise
                self._start(again)  # somebody took a port between the choice and the start
        return self.status()

    def _start(self, chosen: dict[str, int]) -> None:
        self._write(chosen, up=False)
        with ThreadPoolExecutor(max_workers=2) as pool:
            starts = [
                pool.submit(self.kafka.start, chosen["kafka"], chosen["controller"]),
                pool.submit(self.postgres.start, chosen["postgres"]),
            ]
        for start in starts:
            start.result()
        self._write(chosen, up=True)

    def down(self, progress: Progress = _silent) -> dict[str, Any]:
        """Stop both; the data stays."""
        with self._alone():
            if self.place.stack_file.exists():
                self._write(self._kept_ports(), up=False)
            progress("stopping Kafka and PostgreSQL")
            with ThreadPoolExecutor(max_workers=2) as pool:
                stops = [pool.submit(self.kafka.stop), pool.submit(self.postgres.stop)]
            for stop in stops:
                stop.result()
        return self.status()

    def reset(self, progress: Progress = _silent) -> dict[str, Any]:
        """Stop both and delete all that `.ratestream` holds except the jars and the logs."""
        self.down(progress)
        with self._alone():
            progress("deleting data")
            self.kafka.delete()
            self.postgres.delete()
            for entry in self.place.root.iterdir():
                if entry.name in _KEPT:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        return self.status()

    def status(self) -> dict[str, Any]:
        """Describe both services; what runs is asked, never read from a file alone."""
        kept = self._kept_ports()
        kafka_port, postgres_port = kept.get("kafka"), kept.get("postgres")
        version = probe.postgres_version(self.postgres.dsn()) if self.postgres.alive() else None
        return {
            "project_dir": str(self.project_dir),
            "kafka": {
                "running": self.kafka.alive(),
                "ready": kafka_port is not None and self.kafka.ready(kafka_port),
                "pid": self.kafka.service.pid(),
                "endpoint": None if kafka_port is None else f"127.0.0.1:{kafka_port}",
                "version": VERSION,
                "log": str(self.kafka.service.log_file),
            },
            "postgres": {
                "running": self.postgres.alive(),
                "ready": version is not None,
                "pid": self.postgres.service.pid(),
                "endpoint": None if postgres_port is None else f"127.0.0.1:{postgres_port}",
                "version": version,
                "log": str(self.postgres.service.log_file),
            },
        }

    def is_up(self) -> bool:
        """Tell whether both answer."""
        status = self.status()
        return bool(status["kafka"]["ready"] and status["postgres"]["ready"])

    def kill9_kafka(self) -> None:
        """SIGKILL the broker, then start it again on the same port with the same data."""
        self.kafka.kill9()
        kept = self._kept_ports()
        self.kafka.start(kept["kafka"], kept["controller"])

    def kill9_postgres(self) -> None:
        """SIGKILL PostgreSQL, then start it again on the same port with the same data."""
        self.postgres.kill9()
        self.postgres.start(self._kept_ports()["postgres"])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        busy = f"another `ratestream stack` command is at work in {self.project_dir}"
        with locked(self.place.root / "lock", 180, busy):
            yield

    def _ports(self) -> dict[str, int]:
        """Keep the ports of what runs; choose the others anew where they have been taken."""
        kept = self._kept_ports()
        fixed: dict[str, int] = {}
        if self.kafka.alive():
            fixed |= {name: kept[name] for name in ("kafka", "controller")}
        if self.postgres.alive():
            fixed["postgres"] = kept["postgres"]
        names = [name for name in PORT_NAMES if name not in fixed]
        return fixed | ports.choose(self.project_dir, names, kept)

    def _kept_ports(self) -> dict[str, int]:
        try:
            stack = json.loads(self.place.stack_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {name: int(port) for name, port in stack["ports"].items()}

    def _write(self, chosen: dict[str, int], *, up: bool) -> None:
        """Write the file from which settings take the endpoints; the password is in a file of its own."""
        content = {
            "up": up,
            "ports": chosen,
            "settings": {
                "kafka": {
                    "bootstrap_servers": f"127.0.0.1:{chosen['kafka']}",
                    "partitions": PARTITIONS,
                    "replication_factor": 1,
                },
                "postgres": {"dsn_file": os.path.relpath(self.place.dsn_file, self.project_dir)},
            },
        }
        temporary = self.place.stack_file.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.place.stack_file)
