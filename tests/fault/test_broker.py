"""The broker killed, and a broker that hangs: on a stack of the tests' own."""

import os
import signal
import time
from collections.abc import Iterator, Sequence

import pytest

from cli.stack.local import LocalStack
from runtime.kafka.errors import KafkaUnavailableError
from tests.fault.checks import check_everything
from tests.fault.load import Load
from tests.fault.supervisor import Supervisor
from tests.fix_rater import Pipeline, RaterProcess, wait_for


@pytest.fixture
def own_pipeline(own_pipeline: Pipeline) -> Iterator[Pipeline]:
    """Sessions are short, and a rater that hangs says where."""
    own_pipeline.environment |= {
        "RATESTREAM_RATER__SESSION_TIMEOUT_MS": "3000",
        # Longer than the broker takes to come back: see kill_between_ends.
        "RATESTREAM_RATER__TRANSACTION_TIMEOUT_MS": "30000",
        "RATESTREAM_RATER__BATCH_WAIT_MS": "50",
    }
    yield own_pipeline
    # Where a rater hung, its stacks are what there is to go by: shown where the test failed.
    print(own_pipeline.stacks())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_broker_is_killed_twice_under_load(own_stack: LocalStack, own_pipeline: Pipeline) -> None:
    load = Load(own_pipeline, at_once=500)
    supervisors = [Supervisor(own_pipeline, slot, {"rater__batch_records_max": 20}) for slot in (0, 1)]
    for supervisor in supervisors:
        supervisor.rater.wait_owner()
    for _ in range(2):
        before = sum(_frames(own_pipeline).values())
        kill_between_ends(own_stack, [supervisor.rater for supervisor in supervisors])
        load.wait_more(50)
        # A rater whose call hangs in its library gives up after its time-out and 10 s more.
        wait_for(lambda: sum(_frames(own_pipeline).values()) > before, "raters go on", 180)  # noqa: B023
    load.stop()
    wait_for(lambda: bool(_frames(own_pipeline)) and own_pipeline.pending() == 0, "all is rated", 180)
    for supervisor in supervisors:
        supervisor.end()
    check_everything(own_pipeline, load)


@pytest.mark.slow
def test_a_producer_whose_commit_was_slow_is_retired(own_stack: LocalStack, own_pipeline: Pipeline) -> None:
    """A delayed request to end one transaction must not be able to end a later one."""
    load = Load(own_pipeline, at_once=500)
    rater = own_pipeline.start(
        failpoints="in_commit:4:stop",
        rater__batch_records_max=20,
        rater__session_timeout_ms=20_000,
    )
    rater.wait_stopped()
    broker = own_stack.kafka.service.pid()
    assert broker is not None
    os.kill(broker, signal.SIGSTOP)
    try:
        rater.resume()
        # Time is the subject: an end of a transaction counts as slow after 2 s.
        began = time.monotonic()
        wait_for(lambda: time.monotonic() > began + 4, "the commit waits for the broker")
    finally:
        os.kill(broker, signal.SIGCONT)
    load.stop()
    own_pipeline.wait_drained()
    wait_for(lambda: "retiring the producer" in rater.log(), "the producer is retired")
    assert rater.terminate() == 0
    check_everything(own_pipeline, load)


def kill_between_ends(stack: LocalStack, raters: Sequence[RaterProcess]) -> None:
    """SIGKILL the broker with transactions open but none about to end, and start it again.

    A broker that is the only one forgets the end of a transaction that it has to tell its partitions before
    it is ready: it takes them for deleted ("Couldn't find leader endpoint ... can be skipped"), and the
    transaction hangs there for ever. Raters then stop loudly, and an operator ends it: nothing to test here.
    """
    for rater in raters:
        rater.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() > began + 1, "what was being ended has ended")
    stack.kafka.kill9()
    for rater in raters:
        rater.resume()
    stack.kill9_kafka()  # nothing is left to kill: starts it


def _frames(pipeline: Pipeline) -> dict[int, int]:
    """Each partition's last frame; empty while the broker cannot say."""
    try:
        return {number: head["frame_no"] for number, head in pipeline.heads().items()}
    except KafkaUnavailableError:
        return {}


@pytest.mark.slow
def test_a_broker_that_stands_still_is_no_stall_of_the_rater(
    own_stack: LocalStack, own_pipeline: Pipeline
) -> None:
    """For longer than the watchdog's limit, with events that wait: lag is unknown, and that is said."""
    load = Load(own_pipeline, at_once=500)
    rater = own_pipeline.start(telemetry__stuck_s=10, telemetry__look_s=0.5, rater__session_timeout_ms=20_000)
    rater.wait_owner()
    broker = own_stack.kafka.service.pid()
    assert broker is not None
    os.kill(broker, signal.SIGSTOP)
    try:
        began = time.monotonic()
        wait_for(lambda: time.monotonic() > began + 14, "the broker stands longer than the limit")
        assert "lag is unknown" in rater.log()
    finally:
        os.kill(broker, signal.SIGCONT)
    load.wait_more(50)
    load.stop()
    own_pipeline.wait_drained()
    assert rater.terminate() == 0
