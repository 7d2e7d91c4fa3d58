"""The ledger killed, stopped, cut off and misled at each step: it is unchanged or complete, never doubled."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.stack.local import LocalStack
from ledger.service import FAILPOINTS
from runtime.kafka.offsets import list_offsets
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader
from schemas import topics
from tests.fault.ledger_checks import ask, check_ledger, rows, wait_rows
from tests.fault.load import Load
from tests.fault.proxy import Proxy
from tests.fault.retention import delete_before
from tests.fix_kafka import KafkaFixture
from tests.fix_rater import (
    KILLED,
    STOPPED_LOUDLY,
    Pipeline,
    RaterProcess,
    make_pipeline,
    usage_event,
    wait_for,
)

_EVENTS = 400
_LOST = "a commit's reply was lost"
_SMALL = {"ledger__batch_records_max": 20, "ledger__session_timeout_ms": 2_000}


def start(pipeline: Pipeline, *, failpoints: str = "", slot: int = 0, **settings: object) -> RaterProcess:
    given: dict[str, Any] = {**_SMALL, "ledger__slot": slot, **settings}
    return pipeline.start(module="ledger", failpoints=failpoints, **given)


def rated(pipeline: Pipeline) -> Load:
    """So many rated events, and some that were rejected or repeated; the rater has ended."""
    load = Load(pipeline, at_once=_EVENTS, paced=False)
    rater = pipeline.start()
    pipeline.wait_drained()
    assert rater.terminate() == 0
    return load


@pytest.mark.parametrize("name", sorted(FAILPOINTS))
def test_killed_twice_at_a_failpoint(pipeline: Pipeline, name: str) -> None:
    load = rated(pipeline)
    for _ in range(2):
        assert start(pipeline, failpoints=f"{name}:4:kill").wait_dead() == KILLED
    last = start(pipeline)
    wait_rows(pipeline, len(load.events))
    check_ledger(pipeline)
    assert last.terminate() == 0
    assert pipeline.seen() == {(name, "kill"): 2}


@pytest.mark.parametrize("name", ["after_copy", "before_pg_commit", "lost_commit_reply"])
def test_what_fails_within_the_transaction_is_done_again_without_a_restart(
    pipeline: Pipeline, name: str
) -> None:
    """At lost_commit_reply everything was committed: the positions say so, and nothing is written again."""
    load = rated(pipeline)
    sink = start(pipeline, failpoints=f"{name}:4:raise")
    wait_rows(pipeline, len(load.events))
    check_ledger(pipeline)
    assert sink.terminate() == 0
    assert "again in" in sink.log()
    assert (_LOST in sink.log()) == (name == "lost_commit_reply")


@pytest.mark.parametrize("name", sorted(FAILPOINTS - {"after_pg_commit"}))
def test_stopped_while_another_takes_over_and_gone_on(pipeline: Pipeline, name: str) -> None:
    """SIGSTOP past the session time-out. Within its transaction the zombie holds the positions: the other
    waits, and is right whether the zombie commits or not.
    """
    load = rated(pipeline)
    zombie = start(pipeline, failpoints=f"{name}:4:stop")
    zombie.wait_stopped()
    other = start(pipeline, slot=1)
    other.wait_owner()
    if name == "lost_commit_reply":
        wait_rows(pipeline, len(load.events))
    zombie.resume()
    wait_rows(pipeline, len(load.events))
    check_ledger(pipeline)
    for process in (zombie, other):
        assert process.terminate() == 0, process.log()


class CommitCutter(Proxy):
    """Cuts the connection at the COMMIT after the nth COPY of rated rows, before the server has it or when it
    has answered.
    """

    def __init__(self, host: str, port: int, nth: int, *, reached: bool) -> None:
        self._copies_left, self._reached = nth, reached
        self._committing = self.cut_once = False
        super().__init__(host, port)

    def passes(self, data: bytes, *, from_client: bool) -> bool:
        """Whether the data is handed on; if not, its connection is broken."""
        if self.cut_once:
            return True
        if from_client:
            self._copies_left -= b'copy "ledger"."rated"' in data
            self._committing = self._copies_left <= 0 and b"COMMIT" in data
            self.cut_once = self._committing and not self._reached
        else:
            self.cut_once = self._committing
        return not self.cut_once


@pytest.mark.parametrize("reached", [False, True])
def test_the_connection_is_lost_during_commit(pipeline: Pipeline, reached: bool) -> None:
    load = rated(pipeline)
    given = conninfo_to_dict(pipeline.dsn)
    cutter = CommitCutter(str(given["host"]), int(str(given["port"])), 3, reached=reached)
    sink = start(pipeline, postgres__dsn=make_conninfo(pipeline.dsn, port=cutter.port))
    wait_rows(pipeline, len(load.events))
    assert cutter.cut_once
    check_ledger(pipeline)
    assert sink.terminate() == 0
    cutter.cut()
    assert "again in" in sink.log()
    assert (_LOST in sink.log()) == reached


def test_postgresql_away_for_longer_than_the_budget_stops_it_loudly(pipeline: Pipeline) -> None:
    load = rated(pipeline)
    given = conninfo_to_dict(pipeline.dsn)
    proxy = Proxy(str(given["host"]), int(str(given["port"])))
    by_proxy = make_conninfo(pipeline.dsn, port=proxy.port)
    sink = start(
        pipeline,
        failpoints="before_pg_commit:4:sleep=2",
        postgres__dsn=by_proxy,
        ledger__postgres_wait_s=3,
    )
    wait_for(lambda: ("before_pg_commit", "sleep=2") in pipeline.seen(), "it is within its transaction")
    before = rows(pipeline)
    proxy.cut()
    assert sink.wait_dead() == STOPPED_LOUDLY
    assert re.search(r"not usable within 3 s: .*127\.0\.0\.1", sink.log())
    assert rows(pipeline) == before
    pipeline.tolerated.add(STOPPED_LOUDLY)
    proxy.mend()
    start(pipeline, postgres__dsn=by_proxy)
    wait_rows(pipeline, len(load.events))
    check_ledger(pipeline)
    proxy.cut()


def test_a_position_that_the_broker_no_longer_holds_stops_it_loudly(pipeline: Pipeline) -> None:
    """Retention overtook a ledger that stood still; an empty ledger cannot begin in the middle either."""
    load = rated(pipeline)
    assert start(pipeline, failpoints="after_pg_commit:4:kill").wait_dead() == KILLED
    taken = ask(pipeline, "select kafka_partition, kafka_offset, record from ledger.rated order by 1, 2")
    positions = ask(
        pipeline,
        "select kafka_partition, next_offset from ledger.positions where topic like '%usage.rated'",
    )
    topic = pipeline.prefix + topics.USAGE_RATED
    config = pipeline.settings.client_config()
    ends = list_offsets(config, [(topic, number) for number, _ in positions], "latest")
    # Of the partitions that were begun, the one of which the most is left: others may have been read whole.
    partition, position = max(
        (found for found in positions if found[1]), key=lambda found: ends[topic, found[0]] - found[1]
    )
    assert 0 < len(taken) < len(load.events)
    delete_before(pipeline, {(topic, partition): position + 2})
    pipeline.tolerated.add(STOPPED_LOUDLY)
    sink = start(pipeline)
    assert sink.wait_dead() == STOPPED_LOUDLY
    assert f"usage.rated {partition}: the ledger goes on at offset {position}" in sink.log()
    assert (
        ask(pipeline, "select kafka_partition, kafka_offset, record from ledger.rated order by 1, 2") == taken
    )
    ask(pipeline, "with gone as (delete from ledger.positions returning 1) select count(*) from gone")
    empty = start(pipeline, ledger__group_id="other")
    assert empty.wait_dead() == STOPPED_LOUDLY


def test_two_workers_come_and_go_under_load(pipeline: Pipeline) -> None:
    """Rebalances in mid-stream: each partition goes from one worker to another at its stored position."""
    load = Load(pipeline, at_once=200)
    pipeline.start()
    first = start(pipeline)
    first.wait_owner()
    for slot in (1, 2):
        second = start(pipeline, slot=slot)
        second.wait_owner()
        load.wait_more(100)
        second.kill9() if slot == 1 else second.terminate()
    load.stop()
    pipeline.wait_drained()
    wait_rows(pipeline, len(load.events))
    check_ledger(pipeline)
    assert first.terminate() == 0


@pytest.fixture
def own_pipeline(own_stack: LocalStack, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline on a stack whose PostgreSQL may be killed."""
    loader = SettingsLoader(own_stack.project_dir, {})
    server = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    database = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    kafka = KafkaFixture(loader.section("kafka", KafkaSettings))
    made = make_pipeline(kafka, make_conninfo(server, dbname=database), tmp_path)
    yield made
    made.close()
    kafka.close()


@pytest.mark.slow
def test_postgresql_is_killed_twice_in_mid_transaction(own_stack: LocalStack, own_pipeline: Pipeline) -> None:
    load = rated(own_pipeline)
    sink = start(own_pipeline, failpoints="after_copy:4:sleep=2,before_pg_commit:12:sleep=2")
    for nth in (1, 2):
        seen: Callable[[], bool] = lambda nth=nth: own_pipeline.seen().total() == nth  # type: ignore[misc]  # noqa: E731
        wait_for(seen, "it is within its transaction")
        own_stack.kill9_postgres()
        own_stack.up()
    wait_rows(own_pipeline, len(load.events))
    check_ledger(own_pipeline)
    assert sink.terminate() == 0


def test_an_event_of_a_day_without_a_partition_has_one_made(pipeline: Pipeline) -> None:
    pipeline.emit([usage_event(1, 1)])
    pipeline.start()
    pipeline.wait_drained()
    sink = start(pipeline, ledger__days_ahead=1)
    wait_rows(pipeline, 1)
    check_ledger(pipeline)
    assert sink.terminate() == 0
