"""`ratestream topics grow`: the pipeline goes on in a new generation of topics with more partitions."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import click

from aggregator.settings import AggregatorSettings
from aggregator.totals_settings import TotalsSettings
from budget_guard.adapters.publisher import publish_states_again
from budget_guard.settings import GuardSettings
from cli.topic_specs import specs
from ledger.adapters.generations import begin_generation, check_contiguous, check_migrated
from ledger.adapters.ledger_reader import reading
from ledger.settings import SinkSettings
from rate_book.ledger_totals import LedgerTotals
from rater.__main__ import topic_names, windows_of
from rater.adapters.growth import FAILPOINTS, Carried, Growth
from rater.adapters.old_generation import GenerationEnd, OldGeneration
from rater.adapters.spool import Spool
from rater.settings import RaterSettings
from runtime.clock import SystemClock
from runtime.errors import FindingError, UsageProblemError
from runtime.failpoints import Failpoints, failpoints_from
from runtime.kafka import admin
from runtime.kafka.clients import client_config, transactional_config
from runtime.kafka.lag import BrokerLag
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import describe
from runtime.kafka.transactions import TransactionalProducer
from runtime.postgres import connect
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader, TopicsSettings, WindowSettings
from schemas import topics as declared
from schemas.topics import TOPICS, consumer_limits, producer_limits

_CLIENT_ID = "ratestream-grow"
_TRANSACTION_MS = 900_000  # the most that a broker allows unless told otherwise
_PREFIX = re.compile(r"^(?P<before>.*?)(?:(?<![A-Za-z0-9])g(?P<number>\d+)\.)?$")
_INPUTS = (declared.USAGE_EVENTS, declared.USAGE_CORRECTIONS)
CLOSED = {"max.message.bytes": "1"}
_POINTS = FAILPOINTS | {"after_topics", "after_close", "after_generation"}

Tell = Callable[[str], None]


@dataclass(slots=True)
class Done:
    """What a growth did."""

    from_prefix: str
    from_partitions: int
    to_prefix: str
    partitions: int
    behind: list[str] = field(default_factory=list)
    generation: int | None = None
    carried: Carried | None = None
    """None: it had been done before."""
    unrated: list[str] = field(default_factory=list)
    """What came to the old topics when they had ended: nobody rates it."""


def next_prefix(prefix: str) -> str:
    """The prefix of the generation after that one: "" to g2., a. and a to a.g2., a.g2. to a.g3."""
    found = _PREFIX.match(prefix)
    before, number = (prefix, None) if found is None else (found["before"], found["number"])
    dot = "." if before[-1:].isalnum() else ""
    return f"{before}{dot}g{int(number or 1) + 1}."


def check_not_ended(loader: SettingsLoader, kafka: KafkaSettings, closed: Sequence[str]) -> None:
    """Topics that a growth has closed may be opened again as long as their state was not taken elsewhere.

    Raises:
        FindingError: it was; what came to them would never be rated.
    """
    windows = windows_of(loader.section("windows", WindowSettings))
    names = topic_names(kafka.topic_prefix)
    with OldGeneration(client_config(kafka, _CLIENT_ID), names, windows) as generation:
        end = generation.ends().end
    if end is not None:
        raise FindingError(
            f"{', '.join(closed)}: closed, as these topics were grown to {end.partitions} partitions: set "
            f"kafka.topic_prefix = {end.topic_prefix!r} and kafka.partitions = {end.partitions}"
        )


@click.command("grow")
@click.option("--partitions", type=click.IntRange(min=2), required=True, help="Of each topic, more than now.")
@click.option("--to-prefix", help="Of the new topics' names. Default: g2. behind the present one, then g3.")
@click.option("--check", is_flag=True, help="Only say what is in the way; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def grow(*, partitions: int, to_prefix: str | None, check: bool, as_json: bool) -> None:
    """Go on in new topics with more partitions: sequences, pools, known ids and revisions go along.

    Run it with the settings of the topics as they are, when producers are off, everything is rated and in the
    ledger, and the services are stopped; --check says what is not so. It may be killed at any moment and run
    again. The new topics can be used when it says so: set kafka.topic_prefix and kafka.partitions then, and
    start everything. The old topics stay, closed. Exit code 1 where something is in the way.

    Example: ratestream topics grow --partitions 48 --to-prefix g2.
    """
    loader = SettingsLoader.of_process()
    kafka = loader.section("kafka", KafkaSettings)
    new = kafka.model_copy(
        update={
            "topic_prefix": next_prefix(kafka.topic_prefix) if to_prefix is None else to_prefix,
            "partitions": partitions,
        }
    )
    new = KafkaSettings.model_validate(new.model_dump())
    if new.topic_prefix == kafka.topic_prefix:
        raise UsageProblemError(f"--to-prefix {to_prefix!r} is that of the topics as they are")

    def tell(text: str) -> None:
        if not as_json:
            click.echo(text)

    done = _Growing(loader, kafka, new, tell).run(check=check)
    if as_json:
        click.echo(json.dumps(_as_json(done)))
    elif done.behind:
        click.echo("in the way:\n" + "\n".join(f"  {text}" for text in done.behind), err=True)
    elif done.unrated:
        lines = "\n".join(f"  {text}" for text in done.unrated)
        click.echo(
            f"came to the old topics when they had ended; publish it to the new ones:\n{lines}", err=True
        )
    if done.behind or done.unrated:
        sys.exit(FindingError.exit_code)


class _Growing:
    """The order of the steps; each looks at what is there already."""

    def __init__(self, loader: SettingsLoader, old: KafkaSettings, new: KafkaSettings, tell: Tell) -> None:
        self._loader = loader
        self._old, self._new = old, new
        self._tell = tell
        self._dsn = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
        self._windows = windows_of(loader.section("windows", WindowSettings))
        self._admin = admin.admin_client(old)
        self._config = client_config(old, _CLIENT_ID)
        self._failpoints: Failpoints = failpoints_from(loader.environ, _POINTS)
        self._names = topic_names(old.topic_prefix)

    def run(self, *, check: bool) -> Done:
        with OldGeneration(self._config, self._names, self._windows) as generation:
            done = Done(
                self._old.topic_prefix, generation.partitions, self._new.topic_prefix, self._new.partitions
            )
            self._check_counts(generation.partitions)
            # Its initialisation ends the transaction that a killed growth left open.
            writer = None if check else self._producer()
            with connect(self._dsn) as connection:
                check_migrated(connection)
            ends = generation.ends()
            if ends.end is None:
                done.behind = self._in_the_way(generation)
                if done.behind or writer is None:
                    self._tell(
                        f"{len(done.behind)} things are in the way"
                        if done.behind
                        else "nothing is in the way"
                    )
                    return done
                done.carried = self._carry(generation, writer)
            else:
                self._check_same(ends.end)
                self._tell(f"the state was taken to {self._new.topic_prefix!r} before")
                if writer is None:
                    return done
            done.generation = self._finish()
            # A record that was on its way to all replicas when the topics were closed, or came to a broker
            # that learnt late that they are.
            done.unrated = generation.unrated(generation.ends().heads)
        self._tell(
            f"done: set kafka.topic_prefix = {self._new.topic_prefix!r} and kafka.partitions = "
            f"{self._new.partitions}, and start everything"
        )
        return done

    # --- what is in the way ---

    def _check_counts(self, partitions: int) -> None:
        if self._old.partitions != partitions:
            raise UsageProblemError(
                f"kafka.partitions = {self._old.partitions}, the topics of {self._old.topic_prefix!r} have "
                f"{partitions}"
            )
        if self._new.partitions <= partitions:
            raise UsageProblemError(
                f"--partitions {self._new.partitions}: the topics have {partitions}; rule: more than now"
            )

    def _check_same(self, end: GenerationEnd) -> None:
        if (end.topic_prefix, end.partitions) != (self._new.topic_prefix, self._new.partitions):
            raise UsageProblemError(
                f"these topics were grown to {end.partitions} partitions under the prefix "
                f"{end.topic_prefix!r}: finish that one, or grow from there"
            )
        deltas = self._new.topic_prefix + declared.USAGE_DELTAS
        if describe(self._config, [deltas]).topic_ids[deltas] != end.deltas_topic_id:
            raise FindingError(
                f"{deltas}: its id is not {end.deltas_topic_id}, that of the topic that got the state: "
                "it was deleted and created anew, and the state with it"
            )

    def _in_the_way(self, generation: OldGeneration) -> list[str]:
        """Nothing is written."""
        found = [
            f"group {group} has {count} members: stop them, or wait for their session's time-out"
            for group, count in admin.members(self._admin, self._groups()).items()
            if count
        ]
        found += generation.waiting(generation.ends().heads)
        found += self._ledger_waits(generation.partitions)
        present = self._admin.list_topics(timeout=admin.REQUEST_S).topics
        found += self._used([name for name in self._all_names() if name in present])
        return found

    def _groups(self) -> list[str]:
        section = self._loader.section
        ids = (
            section("rater", RaterSettings).group_id,
            section("ledger", SinkSettings).group_id,
            section("guard", GuardSettings).group_id,
            section("aggregator", AggregatorSettings).group_id,
            section("totals", TotalsSettings).group_id,
        )
        return [self._old.topic_prefix + group_id for group_id in ids]

    def _ledger_waits(self, partitions: int) -> list[str]:
        """Records of the rater that are not in the ledger."""
        wanted = [
            (self._old.topic_prefix + name, partition)
            for name in (declared.USAGE_RATED, declared.USAGE_REJECTED)
            for partition in range(partitions)
        ]
        ids = describe(self._config, sorted({topic for topic, _ in wanted})).topic_ids
        with reading(self._dsn) as reader:
            known = {(one.topic_id, one.partition): one.next_offset for one in reader.positions()}
        first = list_offsets(self._config, wanted, "earliest")
        positions = {where: known.get((ids[where[0]], where[1]), first[where]) for where in wanted}
        limits = consumer_limits(declared.USAGE_RATED, declared.USAGE_REJECTED)
        with BrokerLag(self._config, SystemClock(), limits) as lag:
            return [
                f"{topic} {partition}: the ledger is {found.records} records behind"
                for (topic, partition), found in lag(positions).items()
                if found.records
            ]

    def _used(self, names: list[str]) -> list[str]:
        """New topics that hold records: somebody else's; a growth writes its own with the old one's end."""
        there = describe(self._config, names).partitions if names else {}
        wanted = [(name, partition) for name, count in there.items() for partition in range(count)]
        ends = list_offsets(self._config, wanted, "latest", Isolation.COMMITTED)
        with PartitionReader(self._config | consumer_limits(*(topic.name for topic in TOPICS))) as reader:
            first = list_offsets(self._config, wanted, "earliest")
            return [
                f"{topic} {partition} holds records already: choose another --to-prefix"
                for (topic, partition), end in ends.items()
                if any(True for _ in reader.read(topic, partition, first[topic, partition], end))
            ]

    # --- the steps ---

    def _carry(self, generation: OldGeneration, writer: TransactionalProducer) -> Carried:
        """Everything up to the transaction that ends the old generation."""
        wanted = [spec for spec in self._specs() if spec.name != self._rated]
        admin.apply(self._admin, wanted)
        self._tell(
            f"{len(wanted)} topics with {self._new.partitions} partitions under {self._new.topic_prefix!r}"
        )
        self._failpoints.hit("after_topics")
        ends = generation.ends()
        growth = Growth(
            self._config,
            generation,
            self._names.state,
            topic_names(self._new.topic_prefix),
            self._new.topic_prefix,
            self._new.partitions,
            version("ratestream"),
        )
        held = self._held()
        with Spool() as spool:
            growth.prepare(ends, spool, lambda last_seqs: check_contiguous(held, last_seqs))
            self._close_inputs()
            self._failpoints.hit("after_close")
            again = generation.ends()
            waiting = self._in_the_way(generation)  # of everything: somebody may have started it meanwhile
            if waiting or again != ends:
                self._open_inputs()
                raise FindingError(
                    "the old topics went on meanwhile: "
                    + "; ".join(waiting or ["raters wrote"])
                    + "; drain them, and grow again"
                )
            growth.write(spool, writer, self._failpoints)
        self._tell(f"carried: {_told(growth.carried)}")
        return growth.carried

    def _finish(self) -> int:
        """What follows from the old generation's end; usage.rated comes last, and nothing runs without it."""
        rejected = self._new.topic_prefix + declared.USAGE_REJECTED
        rejected_id = describe(self._config, [rejected]).topic_ids[rejected]
        with connect(self._dsn) as connection:
            number = begin_generation(connection, self._new.topic_prefix, self._new.partitions, rejected_id)
            publish_states_again(connection)
            connection.commit()
        self._failpoints.hit("after_generation")
        admin.apply(self._admin, self._specs())
        return number

    def _held(self) -> dict[str, int]:
        """How far the ledger has each customer."""
        totals = LedgerTotals(self._dsn, role="")  # the tables' owner need not be able to set that role
        try:
            return dict(totals.known_customers())
        finally:
            totals.close()

    def _producer(self) -> TransactionalProducer:
        limits = producer_limits(declared.USAGE_DELTAS, declared.RATER_STATE)
        config = transactional_config(
            self._old,
            transactional_id=f"{self._old.topic_prefix}grow",  # one growth of these topics, wherever it leads
            transaction_timeout_ms=_TRANSACTION_MS,
            limits=limits,
        )
        return TransactionalProducer(config, SystemClock(), timeout_s=_TRANSACTION_MS / 1000 - 60)

    def _close_inputs(self) -> None:
        """Whoever still publishes to the old topics is told so: nobody would rate it."""
        names = [self._old.topic_prefix + name for name in _INPUTS]
        admin.set_config(self._admin, names, CLOSED)

    def _open_inputs(self) -> None:
        shrunk = self._loader.section("topics", TopicsSettings)
        names = {self._old.topic_prefix + name for name in _INPUTS}
        admin.apply(self._admin, [spec for spec in specs(self._old, shrunk) if spec.name in names])

    @property
    def _rated(self) -> str:
        return self._new.topic_prefix + declared.USAGE_RATED

    def _all_names(self) -> list[str]:
        return [topic.on(self._new.topic_prefix) for topic in TOPICS]

    def _specs(self) -> list[admin.TopicSpec]:
        return specs(self._new, self._loader.section("topics", TopicsSettings))


def _told(carried: Carried) -> str:
    return ", ".join(f"{count} {name}" for name, count in asdict(carried).items())


def _as_json(done: Done) -> dict[str, Any]:
    return {
        "from": {"prefix": done.from_prefix, "partitions": done.from_partitions},
        "to": {"prefix": done.to_prefix, "partitions": done.partitions},
        "in_the_way": done.behind,
        "generation": done.generation,
        "usable": done.generation is not None,
        "unrated": done.unrated,
        "carried": None if done.carried is None else asdict(done.carried),
    }
