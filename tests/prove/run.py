"""Everything that one run works on: topics, books, processes, a stream, and the settings of it all."""

import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.topics import specs
from runtime.databases import create_database
from runtime.kafka import admin as topic_admin
from runtime.postgres import connect, migrate
from runtime.settings import TopicsSettings
from tests.prove import budgets
from tests.prove.books import BookPlan
from tests.prove.cluster import Cluster
from tests.prove.journal import Journal
from tests.prove.load import Load
from tests.prove.operators import LEAD_S, Operators
from tests.prove.receiver import SECRET, Receiver
from tests.prove.services import Services
from tests.prove.stream import CUSTOMERS, Stream
from tests.prove.watching import Watch
from tests.prove.world import World

PARTITIONS = 4
PER_SECOND = 50.0
SESSION_MS, TRANSACTION_MS = 5_000, 10_000
AGGREGATOR_SESSION_MS = 6_000
WORKERS = (
    "rater-0", "rater-1", "rater-2", "aggregator-0", "aggregator-1", "totals-0", "ledger-0", "ledger-1",
    "guard-0",
)  # fmt: skip
_OWN = "RATESTREAM_"


@dataclass
class Run:
    """Everything of one run that faults and checks work on."""

    seed: int
    directory: Path
    cluster: Cluster
    world: World
    journal: Journal
    services: Services
    operators: Operators
    receiver: Receiver
    load: Load
    watch: Watch
    previous: bool
    ending: threading.Event = field(default_factory=threading.Event)
    begun_s: float = field(default_factory=time.monotonic)

    def clock_text(self) -> str:
        """Seconds since the beginning, for lines."""
        return f"{time.monotonic() - self.begun_s:6.1f} s"

    def say(self, text: str) -> None:
        """One line for whoever waits."""
        print(text, flush=True)

    @property
    def failures(self) -> list[str]:
        """What went wrong that no check looks at."""
        return self.world.failures


@contextmanager
def prepared(seed: int, directory: Path, cluster: Cluster, previous_dir: Path | None) -> Iterator[Run]:
    """Topics, a database, a book and budgets, and no process yet. Ends every process at its end."""
    with ExitStack() as stack:
        journal = Journal(directory / "journal.jsonl")
        stack.callback(journal.close)
        receiver = Receiver(journal)
        stack.callback(receiver.close)
        world = _world(seed, directory, cluster)
        direct = _environment(world, cluster.kafka().bootstrap_servers, receiver)
        services = Services(
            directory, _environment(world, cluster.proxied_bootstrap(), receiver), journal, world.failures,
            previous_dir,
        )  # fmt: skip
        stack.callback(services.kill_all)
        world.settings = {name: text for name, text in direct.items() if name.startswith("RATESTREAM_")}
        ending = threading.Event()
        known: list[Mapping[str, Any]] = []
        operators = Operators(directory, direct, journal, ending.is_set, BookPlan(), known)
        world.budgets = known
        operators.apply_book()
        operators.apply_budgets()
        load = Load(world.kafka, Stream(seed, PARTITIONS), journal, per_second=PER_SECOND)
        watch = Watch(world)
        yield Run(
            seed, directory, cluster, world, journal, services, operators, receiver, load, watch,
            previous_dir is not None, ending,
        )  # fmt: skip


def _world(seed: int, directory: Path, cluster: Cluster) -> World:
    kafka = cluster.kafka().model_copy(
        update={"topic_prefix": f"prove-{secrets.token_hex(3)}.", "partitions": PARTITIONS}
    )
    topic_admin.create(cluster.admin(), specs(kafka, TopicsSettings()))
    dsn = create_database(cluster.postgres_dsn(), f"prove_{secrets.token_hex(4)}")
    with connect(dsn) as connection:
        migrate(connection)
    customers = (*CUSTOMERS, budgets.RETRACTED)
    return World(kafka, dsn, directory, seed=seed, customers=customers)


def _environment(world: World, bootstrap: str, receiver: Receiver) -> dict[str, str]:
    """Settings with time-outs of seconds, whatever the caller's own environment says."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_OWN)}
    project = world.directory / "project"
    project.mkdir(exist_ok=True)
    given: dict[str, object] = {
        "PROJECT_DIR": project,
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "KAFKA__TOPIC_PREFIX": world.prefix,
        "KAFKA__PARTITIONS": world.kafka.partitions,
        "KAFKA__REPLICATION_FACTOR": world.kafka.replication_factor,
        "POSTGRES__DSN": world.dsn,
        "BOOK__LEAD_S": LEAD_S,
        "RATER__SESSION_TIMEOUT_MS": SESSION_MS,
        "RATER__TRANSACTION_TIMEOUT_MS": TRANSACTION_MS,
        "RATER__BOOK_POLL_S": 1,
        "RATER__BATCH_WAIT_MS": 100,
        "AGGREGATOR__SESSION_TIMEOUT_MS": AGGREGATOR_SESSION_MS,
        "AGGREGATOR__BOOK_POLL_S": 1,
        "AGGREGATOR__REPAIR_MS": 200,
        "TOTALS__SESSION_TIMEOUT_MS": 6_000,
        "TOTALS__WRITE_MS": 300,
        "LEDGER__SESSION_TIMEOUT_MS": 6_000,
        "GUARD__SESSION_TIMEOUT_MS": 6_000,
        "GUARD__COMMIT_MS": 200,
        "GUARD__FIRINGS_KEPT_S": 2,
        "GUARD__RECONCILE_S": 5,
        "GUARD__LATE_S": 4,
        "GUARD__STALE_S": 10,
        "DELIVERY__RETRY_FIRST_S": 1,
        "DELIVERY__RETRY_LONGEST_S": 4,
        "CHANNELS__HOOK__TYPE": "webhook",
        "CHANNELS__HOOK__URL": receiver.url,
        "CHANNELS__HOOK__SECRET": SECRET,
        "CHANNELS__HOOK__ALLOW_HTTP": "true",
        "CHANNELS__HOOK__ALLOW_ADDRESSES": '["127.0.0.1/32"]',
        "CHANNELS__HOOK__GROUP_AFTER": 1_000_000,
        "CHANNELS__HOOK__TIMEOUT_S": 2,
    }
    return kept | {f"RATESTREAM_{name}": str(value) for name, value in given.items()}


def monotonic_s() -> float:
    """For deadlines."""
    return time.monotonic()
