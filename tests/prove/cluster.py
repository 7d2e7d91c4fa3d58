"""A stack of the run's own: brokers behind proxies, and PostgreSQL; everything of it may be killed."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient

from cli.stack.local import LocalStack
from runtime.kafka.admin import admin_client
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from tests.fix_stack import ROOT
from tests.prove.proxies import Proxy

BROKERS = 3


@dataclass
class Cluster:
    """Three brokers with three replicas of everything, two of which must have a record."""

    stack: LocalStack
    proxies: dict[int, Proxy] = field(default_factory=dict)
    """By broker; services know the brokers by these alone."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    """One fault at a time that takes brokers away: two of three dead at once is another fault."""

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator["Cluster"]:
        """A stack of its own in this folder, deleted at the end."""
        checkout = LocalStack(ROOT)
        checkout.kafka.fetch()
        stack = LocalStack(folder, checkout.place.jars)
        stack.reset()
        made = cls(stack, {number: Proxy(0) for number in range(1, BROKERS + 1)})
        try:
            stack.up(brokers=BROKERS, proxied=[proxy.port for proxy in made.proxies.values()])
            for number, proxy in made.proxies.items():
                proxy.target = stack.layout().port("proxied", number)
            yield made
        finally:
            for proxy in made.proxies.values():
                proxy.close()
            stack.reset()

    def kafka(self) -> KafkaSettings:
        """Direct listeners."""
        return SettingsLoader(self.stack.project_dir, {}).section("kafka", KafkaSettings)

    def proxied_bootstrap(self) -> str:
        """Where services connect."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies.values())

    def postgres_dsn(self) -> str:
        """The server, as a role that may create databases."""
        loader = SettingsLoader(self.stack.project_dir, {})
        return loader.section("postgres", PostgresSettings).dsn.get_secret_value()

    def admin(self) -> AdminClient:
        """A client of the direct listeners."""
        return admin_client(self.kafka())

    @property
    def brokers(self) -> list[int]:
        """Their numbers."""
        return list(self.proxies)

    def start(self, brokers: Sequence[int]) -> None:
        """Start brokers that are dead, with their data, side by side; wait until they serve."""
        with ThreadPoolExecutor(max_workers=len(brokers)) as pool:
            for started in [pool.submit(self.stack.start, broker) for broker in brokers]:
                started.result()
