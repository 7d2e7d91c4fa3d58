"""The law of corrections: the same order of events and commands gives the same bytes, whatever the batching,
restarts and lost state; what is written for a period is its price.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rater.adapters.state import StateStore
from rater.core.frames import effects_of_result
from tests.unit.rater.corrected import HOUR_US, Partition, usage
from tests.unit.rater.fake_log import CACHE, LOG, FakeLog
from tests.unit.rater.fakes import NOW_US, WINDOWS

CUSTOMERS = ("steps", "steps-2", "flat")


@dataclass(frozen=True)
class Step:
    """An event, or a command for the event of that number as it stands when its turn comes.

    `stale` sends the command as it was made for the original, whatever has happened since.
    """

    kind: str
    customer: str
    number: int
    tokens: int = 0
    stale: bool = False


STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.just("event"), st.sampled_from(CUSTOMERS), st.integers(0, 4), st.integers(1, 900)),
        st.builds(
            Step,
            st.sampled_from(["void", "amend", "rerate", "close"]),
            st.sampled_from(CUSTOMERS),
            st.integers(0, 4),
            st.integers(1, 900),
            st.booleans(),
        ),
    ),
    max_size=25,
)
Sent = tuple[str, Any]


def straight(steps: Sequence[Step]) -> tuple[Partition, list[Sent]]:
    """One record at a time; also what was sent."""
    partition = Partition(version=2)
    sent: list[Sent] = []
    originals: dict[tuple[str, int], Any] = {}
    rated: set[tuple[str, int]] = set()
    for step in steps:
        key = (step.customer, step.number)
        if step.kind == "event":
            said = usage(step.number, step.tokens, step.customer)
            originals.setdefault(key, said)
            partition.run([said])
            rated.add(key)
            sent.append(("event", said))
        elif key in rated:
            made = made_of(partition, step, len(sent))
            partition.run(commands=[made])
            sent.append(("command", made))
    return partition, sent


def made_of(partition: Partition, step: Step, number: int) -> dict[str, Any]:
    name = {"correction_id": f"command {number if not step.stale else 0}"}
    if step.kind == "amend":
        said = usage(step.number, step.tokens, step.customer, NOW_US - step.tokens % 3 * HOUR_US)
        return partition.amend(step.number, said, **name)
    if step.kind == "void":
        return partition.command("void", step.number, step.customer, **name)
    closes = [
        {"pool": pool, "start_us": start_us}
        for customer, pool, start_us in partition.memory.periods
        if customer == step.customer and step.kind == "close"
    ]
    version = 1 + step.tokens % 2
    return partition.command(
        "rerate", step.number, step.customer, book_version=version, run_id="run", closes=closes, **name
    )


def batches(sent: Sequence[Sent], cuts: Sequence[int]) -> list[tuple[list[Any], list[Any]]]:
    """The same order in batches: of events, then of commands, as many as the cuts say at most."""
    found: list[tuple[list[Any], list[Any]]] = [([], [])]
    turn = 0
    for kind, said in sent:
        events, commands = found[-1]
        full = len(events) + len(commands) >= cuts[turn % len(cuts)]
        if full or (kind == "event" and commands):
            found.append(([], []))
            turn += 1
        found[-1][0 if kind == "event" else 1].append(said)
    return found


@given(STEPS, st.lists(st.integers(1, 8), min_size=1, max_size=6))
@settings(deadline=None)
def test_batching_changes_no_byte_of_corrections(steps: list[Step], cuts: list[int]) -> None:
    one_by_one, sent = straight(steps)
    other = Partition(version=2)
    for events, commands in batches(sent, cuts):
        other.run(events, commands)
    assert other.values == one_by_one.values
    assert other.rejected == one_by_one.rejected
    assert other.memory.periods == one_by_one.memory.periods
    assert other.memory.runs == one_by_one.memory.runs
    assert other.memory.revisions == one_by_one.memory.revisions
    for customer in CUSTOMERS[:2]:
        if any(key[0] == customer for key in other.memory.periods):
            other.live(customer)  # what was written sums to the live amount


@given(STEPS, st.lists(st.integers(1, 8), min_size=1, max_size=6), st.booleans())
@settings(deadline=None, max_examples=25)
def test_local_state_lost_at_any_time_is_what_the_log_says(
    steps: list[Step], cuts: list[int], compact: bool
) -> None:
    expected, sent = straight(steps)
    log, path = FakeLog(), Path(tempfile.mkdtemp(prefix="correction-law-"))
    partition = Partition(version=2)
    store = StateStore(path, LOG, WINDOWS, CACHE)
    try:
        for number, (events, commands) in enumerate(batches(sent, cuts)):
            result = partition.run(events, commands)
            log.commit(result)
            if number % 3 == 2:
                store.close()
                shutil.rmtree(path)
                if compact:
                    log.compact()
                store = StateStore(path, LOG, WINDOWS, CACHE)
            if number % 3:
                log.follow(store)
            else:
                store.apply(
                    effects_of_result(result),
                    at_us=1,
                    deltas_next=log.end("deltas"),
                    state_next=log.end("state"),
                    coverage_from_us=0 if result.head.frame_no == 1 else None,
                )
        assert partition.values == expected.values
        for digest, revision in partition.memory.revisions.items():
            assert store.revision(digest) == revision
        assert store.meta.revisions == len(partition.memory.revisions)
        assert store.meta.runs == len(partition.memory.runs)
        for key, state in partition.memory.runs.items():
            assert store.run(key) == state
        for period, state in partition.memory.periods.items():
            assert store.period(period) == state
        store.close()
        store = StateStore(path, LOG, WINDOWS, CACHE)  # counted when it is opened again
        assert store.meta.revisions == len(partition.memory.revisions)
    finally:
        store.close()
        shutil.rmtree(path)
