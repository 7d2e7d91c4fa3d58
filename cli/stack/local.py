"""The local stack of one project as a whole: up, down, status, reset."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cli.stack import ports
from cli.stack.kafka import VERSION, Kafka, new_cluster_id
from cli.stack.layout import BROKERS_MAX, PARTITIONS, Layout, named
from cli.stack.place import Place
from cli.stack.postgres import Postgres
from cli.stack.process import StackError, locked
from cli.stack.secure import Secrets
from runtime import probe
from schemas.access import ADMIN

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
        """The first broker, in most stacks the only one."""
        return Kafka(self.place)

    @property
    def brokers(self) -> list[Kafka]:
        """Every broker of the stack as it was started last."""
        return [Kafka(self.place, number) for number in self.layout().numbers]

    @cached_property
    def postgres(self) -> Postgres:
        return Postgres(self.place)

    def up(
        self,
        progress: Progress = _silent,
        *,
        brokers: int | None = None,
        proxied: Sequence[int] | None = None,
        secure: bool | None = None,
    ) -> dict[str, Any]:
        """Start what does not run, wait until all answers, and return the stack's description.

        Args:
            progress: told each step.
            brokers: how many, 1 to 9; as before where not given, 1 at first. With 3 or more every topic
                has 3 copies, 2 of them in sync.
            proxied: for each broker, the port of a proxy that clients of its second listener are told of
                (`()`: no such listener); as before where not given. The proxies are the caller's: the ports
                that they forward to are in stack.json as proxied, proxied-2, ...
            secure: TLS and a login for each part, with the rights declared for it and no more; as before
                where not given. Its files are in `.ratestream/secure`.

        Raises:
            StackError: jars, a start or an answer is missing, or another number of brokers has data here; the
                text says which.
        """
        with self._alone():
            layout = self._wanted(brokers, proxied, secure)
            self.kafka.fetch(lambda done, of: progress(f"Kafka's jars: {done} of {of} fetched and checked"))
            progress("starting Kafka and PostgreSQL")
            chosen = self._ports(layout)
            try:
                self._start(layout, chosen)
            except StackError:
                again = self._ports(layout)
                if again == chosen:
                    raise
                self._start(layout, again)  # somebody took a port between the choice and the start
        return self.status()

    def layout(self) -> Layout:
        """Return the brokers and ports as `up` recorded them last."""
        stack = self._recorded()
        ports = {name: int(port) for name, port in stack.get("ports", {}).items()}
        proxied = tuple(stack.get("proxied", ()))
        return Layout(int(stack.get("brokers", 1)), proxied, bool(stack.get("secure")), ports)

    def _wanted(self, brokers: int | None, proxied: Sequence[int] | None, secure: bool | None) -> Layout:
        now = self.layout()
        wanted = Layout(
            now.brokers if brokers is None else brokers,
            now.proxied if proxied is None else tuple(proxied),
            now.secure if secure is None else secure,
        )
        if not 1 <= wanted.brokers <= BROKERS_MAX:
            raise StackError(f"brokers = {wanted.brokers}: must be 1 to {BROKERS_MAX}")
        if wanted.brokers != now.brokers and self.kafka.formatted():
            raise StackError(
                f"this stack's Kafka has data of {now.brokers} broker(s), {wanted.brokers} are asked for: "
                "`ratestream stack reset` first, which deletes it"
            )
        if wanted.secure != now.secure and (self.kafka.formatted() or self.place.dsn_file.exists()):
            raise StackError(
                f"this stack was made {'with' if now.secure else 'without'} --secure: "
                "`ratestream stack reset` first, which deletes its data"
            )
        if wanted.secure and wanted.proxied:
            raise StackError("a secure stack has no second listener: give secure or proxied")
        if wanted.proxied and len(wanted.proxied) != wanted.brokers:
            raise StackError(
                f"proxied = {wanted.proxied}: must be one port for each of {wanted.brokers} brokers"
            )
        if wanted.proxied != now.proxied and any(broker.alive() for broker in self.brokers):
            raise StackError("the brokers run with other listeners: `ratestream stack down` first")
        return wanted

    def _start(self, wanted: Layout, chosen: dict[str, int]) -> None:
        layout = replace(wanted, ports=chosen)
        self._write(layout, up=False)
        files = Secrets(self.place) if layout.secure else None
        if files is not None:
            files.make()
            files.write_settings(layout)
        stopped = [broker for broker in self.brokers if not broker.alive()]
        made = [broker.cluster_id() for broker in self.brokers if broker.formatted()]
        cluster_id = made[0] if made else new_cluster_id()
        with ThreadPoolExecutor(max_workers=1 + layout.brokers) as pool:
            postgres = pool.submit(
                self.postgres.start, chosen["postgres"], files.postgres_key if files else None
            )
            for prepared in [pool.submit(broker.prepare, layout, cluster_id) for broker in stopped]:
                prepared.result()
            starts = [pool.submit(broker.start, layout) for broker in self.brokers]
        for start in [*starts, postgres]:
            start.result()
        if files is not None:
            files.grant(self.postgres.dsn(), layout)
        self._write(layout, up=True)

    def down(self, progress: Progress = _silent) -> dict[str, Any]:
        """Stop both; the data stays."""
        with self._alone():
            if self.place.stack_file.exists():
                self._write(self.layout(), up=False)
            progress("stopping Kafka and PostgreSQL")
            with ThreadPoolExecutor(max_workers=1 + len(self.brokers)) as pool:
                stops = [pool.submit(broker.stop) for broker in self.brokers]
                stops.append(pool.submit(self.postgres.stop))
            for stop in stops:
                stop.result()
        return self.status()

    def reset(self, progress: Progress = _silent) -> dict[str, Any]:
        """Stop both and delete all that `.ratestream` holds except the jars and the logs."""
        self.down(progress)
        with self._alone():
            progress("deleting data")
            for broker in self.brokers:
                broker.delete()
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
        layout = self.layout()
        postgres_port = layout.ports.get("postgres")
        version = probe.postgres_version(self.postgres.dsn()) if self.postgres.alive() else None
        brokers = [_broker_status(broker, layout) for broker in self.brokers]
        return {
            "project_dir": str(self.project_dir),
            "kafka": {
                "running": all(broker["running"] for broker in brokers),
                "ready": all(broker["ready"] for broker in brokers),
                "pid": brokers[0]["pid"],
                "endpoint": layout.bootstrap_servers if layout.ports else None,
                "version": VERSION,
                "log": brokers[0]["log"],
                "brokers": brokers,
            },
            "postgres": {
                "running": self.postgres.alive(),
                "ready": version is not None,
                "pid": self.postgres.service.pid(),
                "endpoint": None if postgres_port is None else f"127.0.0.1:{postgres_port}",
                "version": version,
                "log": str(self.postgres.service.log_file),
            },
            "secure": Secrets(self.place).environment_files() if layout.secure else None,
        }

    def is_up(self) -> bool:
        """Tell whether both answer."""
        status = self.status()
        return bool(status["kafka"]["ready"] and status["postgres"]["ready"])

    def pid(self, broker: int = 1) -> int | None:
        """Return the process of a broker, None where it does not run."""
        return Kafka(self.place, broker).service.pid()

    def kill9(self, broker: int = 1) -> None:
        """SIGKILL a broker and leave it so."""
        Kafka(self.place, broker).kill9()

    def stop(self, broker: int = 1) -> None:
        """Shut a broker down in order: it hands its partitions over first."""
        Kafka(self.place, broker).stop()

    def start(self, broker: int = 1) -> None:
        """Start a broker again on its port with its data, and wait until it serves.

        Raises:
            StackError: it did not; fewer than half of all brokers are not enough for an answer.
        """
        Kafka(self.place, broker).start(self.layout())

    def kill9_kafka(self, broker: int = 1) -> None:
        """SIGKILL a broker, then start it again on the same port with the same data."""
        self.kill9(broker)
        self.start(broker)

    def kill9_postgres(self) -> None:
        """SIGKILL PostgreSQL, then start it again on the same port with the same data."""
        self.postgres.kill9()
        layout = self.layout()
        pem = Secrets(self.place).postgres_key if layout.secure else None
        self.postgres.start(layout.ports["postgres"], pem)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        busy = f"another `ratestream stack` command is at work in {self.project_dir}"
        with locked(self.place.root / "lock", 180, busy):
            yield

    def _ports(self, layout: Layout) -> dict[str, int]:
        """Keep the ports of what runs; choose the others anew where they have been taken."""
        kept = dict(self.layout().ports)
        fixed: dict[str, int] = {}
        for broker in layout.numbers:
            if Kafka(self.place, broker).alive():
                # One that runs with the ports of another layout is found by its port, never given a new one.
                fixed |= {
                    name: kept[name]
                    for kind in ("kafka", "controller", "proxied")
                    if (name := named(kind, broker)) in kept
                }
        if self.postgres.alive():
            fixed["postgres"] = kept["postgres"]
        names = [name for name in [*layout.port_names(), "postgres"] if name not in fixed]
        return fixed | ports.choose(self.project_dir, names, kept)

    def _recorded(self) -> dict[str, Any]:
        try:
            stack: dict[str, Any] = json.loads(self.place.stack_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return stack

    def _write(self, layout: Layout, *, up: bool) -> None:
        """Write the file from which settings take the endpoints; the password is in a file of its own."""
        kafka: dict[str, Any] = {
            "bootstrap_servers": layout.bootstrap_servers,
            "partitions": PARTITIONS,
            "replication_factor": layout.replicas,
        }
        dsn_file = self.place.dsn_file
        if layout.secure:  # whoever names no principal is the administrator
            files = Secrets(self.place)
            kafka, dsn_file = files.kafka_values(ADMIN, layout), files.dsn_file(ADMIN)
        content = {
            "up": up,
            **({"brokers": layout.brokers} if layout.brokers > 1 else {}),
            **({"proxied": list(layout.proxied)} if layout.proxied else {}),
            **({"secure": True} if layout.secure else {}),
            "ports": dict(layout.ports),
            "settings": {
                "kafka": kafka,
                "postgres": {"dsn_file": os.path.relpath(dsn_file, self.project_dir)},
            },
        }
        temporary = self.place.stack_file.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.place.stack_file)


def _broker_status(broker: Kafka, layout: Layout) -> dict[str, Any]:
    known = named("kafka", broker.broker) in layout.ports
    return {
        "broker": broker.broker,
        "running": broker.alive(),
        "ready": known and broker.ready(layout),
        "pid": broker.service.pid(),
        "endpoint": layout.endpoint(broker.broker) if known else None,
        "log": str(broker.service.log_file),
    }
