"""Growing from 4 partitions to more on a real stack: what is in the way, deaths in the middle, exact sums."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from rate_book.store import apply
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.commands import command, current, send
from tests.fix_aggregator import AggregatorRun
from tests.fix_guard import GuardRun, budget
from tests.fix_rater import KILLED, STOPPED_LOUDLY, Pipeline, RaterProcess, usage_event, wait_for, whole
from tests.integration.test_verify import verify
from tests.pooled_book import POOLED_BOOK

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]

DAY_US = 86_400_000_000
USAGE, FINDINGS, FINE = 2, 1, 0
LISTED = tuple(f"customer-{number}" for number in range(8))
# The four old events of `steps` are 15.5 USD, so it is told once in the old generation and never again.
BUDGET = replace(budget(at=((10, "hard"),), window="lifetime", customers=("steps",)), limit_atto=10 * 10**18)


@dataclass
class Generations:
    """The pipeline in its first topics, and later in the next ones."""

    old: Pipeline
    noon_us: int
    aggregators: list[AggregatorRun]

    def events(self, customer: str, numbers: range, **fields: Any) -> list[dict[str, Any]]:
        """1000 input and 100 output tokens each, at one instant."""
        at = {"customer_id": customer, "event_time_us": self.noon_us}
        return [usage_event(0, number, **at, **fields) for number in numbers]

    def all_events(self, numbers: range) -> list[dict[str, Any]]:
        """Of `steps` and `packs` each number, of the others the first one."""
        found = [*self.events("steps", numbers), *self.events("packs", numbers)]
        for customer in LISTED:
            found += self.events(customer, range(numbers.start, numbers.start + 1))
        return found

    def grow(
        self, partitions: int, *arguments: str, failpoints: str = "", by: Pipeline | None = None
    ) -> subprocess.CompletedProcess[str]:
        pipeline = by or self.old
        return subprocess.run(
            [sys.executable, "-m", "cli", "topics", "grow", "--partitions", str(partitions), *arguments],
            env=pipeline.environ() | {"RATESTREAM_FAILPOINTS": failpoints},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def next(self, partitions: int) -> Pipeline:
        """The pipeline in the new topics; raters keep their directory."""
        old = self.old
        settings = old.kafka.settings(f"{old.prefix}g2.", partitions)
        return replace(old, settings=settings, environment=dict(old.environment), raters=[])


@pytest.fixture
def generations(pipeline: Pipeline) -> Iterator[Generations]:
    """Customers who pay by the period, and nobody who runs."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    noon_us = time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2  # of yesterday: one day, one month
    made = Generations(pipeline, noon_us, [])
    yield made
    for run in made.aggregators:
        run.close()


def rows(pipeline: Pipeline, table: str) -> int:
    with connect(pipeline.dsn) as connection:
        found = connection.execute(f"select count(*) from ledger.{table}".encode()).fetchone()  # noqa: S608 - a constant of the test
    return int(str(found[0])) if found is not None else 0


def billed(pipeline: Pipeline) -> dict[str, Decimal]:
    """What each customer pays, as the ledger has it."""
    with connect(pipeline.dsn) as connection:
        found = connection.execute("select customer_id, sum(price) from ledger.rated group by 1").fetchall()
    return {str(customer): Decimal(str(amount)) for customer, amount in found}


def sequences(pipeline: Pipeline) -> dict[str, list[int]]:
    with connect(pipeline.dsn) as connection:
        found = connection.execute(
            "select customer_id, array_agg(customer_seq order by customer_seq) from ledger.rated group by 1"
        ).fetchall()
    return {str(customer): list(numbers) for customer, numbers in found}  # type: ignore[call-overload]  # an array


def stop(*processes: RaterProcess) -> None:
    for process in processes:
        assert process.terminate() == 0, process.log()


def wait_taken(pipeline: Pipeline) -> None:
    """Until the ledger has every rated and rejected record of these topics, which are its first."""
    wanted = len(pipeline.rated()), len(pipeline.rejected())
    wait_for(lambda: (rows(pipeline, "rated"), rows(pipeline, "rejected")) == wanted, f"{wanted} rows")


def price_totals(run: AggregatorRun, customer: str, seq: int) -> Fraction:
    """The customer's lifetime price as usage.totals has it."""
    entries = run.wait_seq({customer: seq})[customer]["entries"]
    return sum(
        (Fraction(one["price"]) for one in entries if (one["window"], one["scope"]) == ("lifetime", {})),
        Fraction(0),
    )


def test_what_is_in_the_way_is_said_and_nothing_is_written(generations: Generations) -> None:
    old = generations.old
    smaller = generations.grow(4)
    assert (smaller.returncode, "rule: more than now" in smaller.stderr) == (USAGE, True), smaller
    old.emit(generations.all_events(range(2)))
    unrated = generations.grow(6)
    assert unrated.returncode == FINDINGS, unrated
    assert f"{old.prefix}usage.events" in unrated.stderr
    assert "records wait to be rated, the raters stand at 0" in unrated.stderr
    rater = old.start()
    old.wait_drained()
    running = generations.grow(6, "--check", "--json")
    told = json.loads(running.stdout)
    assert (running.returncode, told["usable"], told["carried"]) == (FINDINGS, False, None)
    assert any(text.startswith(f"group {old.prefix}rater has 1 members") for text in told["in_the_way"])
    stop(rater)
    behind = generations.grow(6)
    assert (behind.returncode, "records behind" in behind.stderr) == (FINDINGS, True), behind
    ledger = old.start(module="ledger")
    wait_taken(old)
    stop(ledger)
    old.kafka.create_topics(f"{old.prefix}g2.", partitions=6)
    producer = old.kafka.producer()
    producer.produce(f"{old.prefix}g2.usage.events", b"somebody's")
    assert producer.flush(10) == 0
    taken = generations.grow(6)
    assert (taken.returncode, "holds records already" in taken.stderr) == (FINDINGS, True), taken
    assert generations.grow(6, "--check", "--to-prefix", f"{old.prefix}g3.").returncode == FINE
    present = old.kafka.admin().list_topics(timeout=10).topics
    assert not [name for name in present if name.startswith(f"{old.prefix}g3.")]


def first_generation(generations: Generations, guard: GuardRun) -> Pipeline:
    """Four events of the pooled customers, one of the others, one that is refused, one that is voided.

    steps: 3000 input tokens are 7.5 + 1 + 1 = 9.5, 300 output tokens 3. packs: 4000 input tokens are 12;
    400 - 150 output tokens are 3 packages, 2.1.
    """
    old = generations.old
    guard.apply(BUDGET)
    run = AggregatorRun(old)
    generations.aggregators.append(run)
    running = [old.start(), old.start(module="ledger"), old.start(module="aggregator.totals"), guard.start()]
    aggregator = run.start()
    old.emit(generations.all_events(range(4)))
    bad = generations.events("steps", range(90, 91), usage={"input_tokens": "1", "output_tokens": "-1"})
    old.emit(bad)
    old.wait_drained()
    guard.wait_alerts(1)
    send(old, [command(current(old)["steps", "event-1"], "void", "void")])
    wait_taken(old)
    assert price_totals(run, "steps", 5) == Fraction(125, 10)
    wait_for(lambda: [one["state"] for one in guard.states("steps")] == ["hard"], "the state is published")
    stop(*running, aggregator)
    assert billed(old) == {
        "steps": Decimal("12.5"), "packs": Decimal("14.1"), **dict.fromkeys(LISTED, Decimal("0.0045"))
    }  # fmt: skip
    return old


def grown_over_deaths(generations: Generations, old: Pipeline, partitions: int, point: str) -> Pipeline:
    """Killed in the transaction, then right behind it; a third run ends it, a fourth changes nothing."""
    new = generations.next(partitions)
    # A member that was stopped by SIGTERM is out of its group; Faust's stays until its session ends.
    wait_for(lambda: generations.grow(partitions, "--check").returncode == FINE, "nothing is in the way")
    assert generations.grow(partitions, failpoints=f"{point}:1:kill").returncode == KILLED
    assert closed(old), "the old topics take events no more"
    unusable = new.start()
    assert unusable.wait_dead() == STOPPED_LOUDLY, unusable.log()
    assert "usage.rated" in unusable.log()
    assert generations.grow(partitions, failpoints="after_commit:1:kill").returncode == KILLED
    unusable = new.start()
    assert unusable.wait_dead() == STOPPED_LOUDLY, unusable.log()
    ended = old.start()
    assert ended.wait_dead() == STOPPED_LOUDLY, ended.log()
    assert f"these topics were grown to {partitions} partitions" in ended.log()
    assert f"set kafka.topic_prefix = '{new.prefix}'" in ended.log()
    opened = subprocess.run(
        [sys.executable, "-m", "cli", "topics", "apply"],
        env=old.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (opened.returncode, "these topics were grown to" in opened.stderr) == (FINDINGS, True), opened
    assert closed(old), "what came there would never be rated"
    other = generations.grow(partitions + 1)
    assert (other.returncode, "finish that one" in other.stderr) == (USAGE, True), other
    third = generations.grow(partitions, "--json")
    assert third.returncode == FINE, third
    told = json.loads(third.stdout)
    assert (told["usable"], told["generation"], told["carried"]) == (True, 1, None)
    again = generations.grow(partitions)
    assert (again.returncode, "done: set kafka.topic_prefix" in again.stdout) == (FINE, True), again
    new.raters.clear()
    old.raters.clear()
    return new


def closed(pipeline: Pipeline) -> bool:
    """Whether usage.events refuses an event."""
    errors: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        errors.append(error)

    producer = pipeline.kafka.producer()
    value = CODEC.encode("UsageEvent", whole(usage_event(1, 77)))
    producer.produce(pipeline.prefix + topics.USAGE_EVENTS, value, b"customer-1", on_delivery=delivered)
    assert producer.flush(30) == 0
    return [error.code() for error in errors if error is not None] == [KafkaError.MSG_SIZE_TOO_LARGE]


@pytest.mark.timeout(1200)  # processes of two generations, one after the other, on a busy machine
@pytest.mark.parametrize(("partitions", "point"), [(6, "before_commit"), (12, "mid_produce")])
def test_a_grown_generation_goes_on_as_if_nothing_had_happened(
    generations: Generations, guard: GuardRun, partitions: int, point: str
) -> None:
    """The new topics get every old event again, four new ones of `steps` and `packs`, one of the others, a
    void of an event of the old generation, one more of what was voided there, an old id with other content.

    steps: 4 - 1 + 4 - 1 = 6 events are left: 6000 input tokens are 7.5 + 1 + 7 = 15.5, 600 output tokens at
    0.004 are 2.4; together 17.9. packs: 8000 input tokens are 24, 800 - 150 = 650 output tokens are 7
    packages, 4.9; together 28.9. The others: 2 x 0.0045.
    """
    old = first_generation(generations, guard)
    held = current(old)
    verified(old)
    new = grown_over_deaths(generations, old, partitions, point)
    assert new.pending() == 0
    assert sorted(new.heads()) == list(range(partitions))
    run = AggregatorRun(new)
    generations.aggregators.append(run)
    in_new = replace(guard, pipeline=new)
    running = [new.start(), new.start(module="ledger"), new.start(module="aggregator.totals"), in_new.start()]
    aggregator = run.start()
    # Before its first event: everybody's totals are what they were, nobody is told of it again.
    assert price_totals(run, "steps", 5) == Fraction(125, 10)
    assert price_totals(run, "customer-3", 1) == Fraction(45, 10_000)
    wait_for(lambda: [one["state"] for one in in_new.states("steps")] == ["hard"], "the state is there too")

    new.emit(generations.all_events(range(4)))  # each a repeat
    new.emit(generations.events("packs", range(1), usage={"input_tokens": "5", "output_tokens": "5"}))
    new.emit(generations.all_events(range(4, 8)))
    new.wait_drained()
    twice = command(held["steps", "event-1"], "void", "again")
    send(new, [command(held["steps", "event-2"], "void", "void"), twice])
    assert Counter(one["reason"] for one in new.rejected()) == {"id_conflict": 1, "stale_correction": 1}
    assert len(new.rated()) == 4 + 4 + len(LISTED) + 1
    wait_for(
        lambda: rows(new, "rated") == (8 + len(LISTED) + 1) + (8 + len(LISTED) + 1), "the ledger has all"
    )
    wait_for(lambda: rows(new, "rejected") == 1 + 2, "and what was rejected")
    amounts = {
        "steps": Decimal("17.9"), "packs": Decimal("28.9"), **dict.fromkeys(LISTED, Decimal("0.009"))
    }  # fmt: skip
    assert billed(new) == amounts
    assert sequences(new) == {
        "steps": list(range(1, 11)), "packs": list(range(1, 9)), **{customer: [1, 2] for customer in LISTED}
    }  # fmt: skip
    assert price_totals(run, "steps", 10) == Fraction(179, 10)
    assert price_totals(run, "packs", 8) == Fraction(289, 10)
    assert price_totals(run, "customer-3", 2) == Fraction(9, 1000)
    in_new.wait_passed()
    assert len(in_new.alerts()) == 1
    for message in new.read(topics.USAGE_RATED):
        assert message.partition() == partition_of(message.key() or b"", partitions)
    stop(*running, aggregator)
    verified(new)
    # And once more from the log alone.
    rater = new.start(rater__state_dir=str(new.directory / "elsewhere"))
    new.emit(generations.all_events(range(8)))
    new.wait_drained()
    stop(rater)
    assert len(new.rated()) == 8 + len(LISTED) + 1
    verified(new)
    verified(old)
    again = generations.grow(2 * partitions, by=new)
    assert again.returncode == FINDINGS, again
    assert "they were rated in a generation before this one" in again.stderr


def verified(pipeline: Pipeline) -> None:
    code, report = verify(pipeline, "--complete")
    assert (code, report["findings"]) == (0, []), report["findings"]
