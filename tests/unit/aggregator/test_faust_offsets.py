"""Offsets that may be committed: Faust's own rule loses messages, ours knows what was released."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import Consumer
from faust.transport.producer import ProducerBuffer
from faust.types import TP
from intervaltree import IntervalTree  # type: ignore[import-untyped]  # Faust's; no annotations
from mode.utils.queues import FlowControlEvent, FlowControlQueue

from aggregator.adapters.transport import CommittedConsumer
from aggregator.core.released import Released

WHERE = TP("usage.deltas", 0)


class _App:
    source = "usage.deltas"

    def __init__(self) -> None:
        self.released: Released[int] = Released()


def consumer(kind: type[Consumer], committed: int | None, acked: list[int]) -> Any:
    """A consumer with nothing but its bookkeeping: these offsets were acknowledged."""
    made: Any = kind.__new__(kind)
    made._committed_offset = defaultdict(lambda: None, {WHERE: committed})
    made._acked = defaultdict(list, {WHERE: list(acked)})
    made._acked_index = defaultdict(set, {WHERE: set(acked)})
    made._gap = defaultdict(IntervalTree)
    made.app = _App()
    return made


@pytest.mark.parametrize("committed", [100, None])
def test_faust_commits_past_a_message_in_flight_at_the_head(committed: int | None) -> None:
    """Offset 100 is being worked on, 101 and 102 are done: nothing may be committed but 100."""
    assert consumer(Consumer, committed, [101, 102])._new_offset(WHERE) == 103
    ours = consumer(CommittedConsumer, committed, [101, 102])
    assert ours._new_offset(WHERE) is None
    ours.app.released.release(0, 100)
    assert ours._new_offset(WHERE) == 100


def test_faust_takes_the_message_behind_a_transaction_marker_for_done() -> None:
    """Offset 11 is a marker, 12 is being worked on, 13 is done."""
    stock = consumer(Consumer, 10, [10, 13])
    asyncio.run(stock._add_gap(WHERE, 11, 12))
    assert stock._new_offset(WHERE) == 14
    ours = consumer(CommittedConsumer, 10, [10, 13])
    asyncio.run(ours._add_gap(WHERE, 11, 12))
    ours.app.released.release(0, 12)
    assert ours._new_offset(WHERE) == 12


def test_faust_never_commits_again_where_a_partition_begins_with_a_short_transaction() -> None:
    """Offset 0 was read and committed as 1; 1 to 4 are a marker and aborted records; 5 to 7 are done."""
    stock = consumer(Consumer, 1, [5, 6, 7])
    assert stock._new_offset(WHERE) is None
    ours = consumer(CommittedConsumer, 1, [])
    ours.app.released.release(0, 8)
    assert (list(ours._filter_tps_with_pending_acks()), ours._new_offset(WHERE)) == ([WHERE], 8)


def test_faust_reads_the_source_before_it_empties_the_queues() -> None:
    """At the end of a restore it resumes partitions, seeks, empties every queue and resumes the flow."""

    async def active(kind: type[Consumer]) -> list[bool]:
        made = consumer(kind, None, [])
        made._active_partitions, made._paused_partitions, made._waiting = set(), set(), set()
        made.can_resume_flow, made.suspend_flow = asyncio.Event(), asyncio.Event()
        made.pause_partitions({WHERE})
        made.resume_partitions({WHERE})
        before = WHERE in made._get_active_partitions()
        made.resume_flow()
        return [before, WHERE in made._get_active_partitions()]

    async def left_after_resume() -> int:
        flow = FlowControlEvent()
        queue: Any = FlowControlQueue(flow_control=flow, clear_on_resume=True)
        queue.put_nowait("fetched after the seek")
        flow.resume()
        return int(queue.qsize())

    assert asyncio.run(active(Consumer)) == [True, True]
    assert asyncio.run(left_after_resume()) == 0
    assert asyncio.run(active(CommittedConsumer)) == [False, True]


def test_faust_s_set_of_partitions_changes_under_the_thread_that_fetches() -> None:
    """It pauses the changelog at the end of a restore: the set is empty then, which means all partitions."""

    async def seen(kind: type[Consumer]) -> set[TP]:
        made = consumer(kind, None, [])
        going_on = asyncio.Event()

        async def getmany(active: set[TP], _timeout: float) -> set[TP]:
            await going_on.wait()
            return set(active)

        made._thread = SimpleNamespace(getmany=getmany)
        active = {TP("aggregator.state", 0)}
        fetching = asyncio.create_task(made._getmany(active, 1.0))
        await asyncio.sleep(0)
        active.clear()
        going_on.set()
        return set(await fetching)

    assert asyncio.run(seen(Consumer)) == set()
    assert asyncio.run(seen(CommittedConsumer)) == {TP("aggregator.state", 0)}


def test_what_was_released_stays_released_and_a_new_assignment_begins_with_nothing() -> None:
    released: Released[int] = Released()
    released.release(0, 8)
    released.release(0, 5)
    assert (released.next_offset(0), released.partitions()) == (8, (0,))
    released.forget()
    assert (released.next_offset(0), released.partitions()) == (None, ())


def test_faust_gives_up_a_flush_with_records_still_in_its_buffer() -> None:
    """A send that takes longer than 100 ms: the offset would be committed after this flush. That is why
    nothing here goes through the buffer.
    """

    async def left() -> int:
        buffer: Any = ProducerBuffer()
        buffer.app = SimpleNamespace(conf=SimpleNamespace(producer_threaded=False))
        answer = asyncio.Event()

        async def stalled(_: Any) -> None:
            await answer.wait()

        buffer._send_pending = stalled  # a broker that does not answer
        await buffer.start()
        for _ in range(20):
            buffer.put(object())
        await buffer.flush()
        size = int(buffer.size)
        answer.set()
        await buffer.flush()
        await buffer.stop()
        return size

    assert asyncio.run(left()) == 19  # one is in the hand of the stalled send
