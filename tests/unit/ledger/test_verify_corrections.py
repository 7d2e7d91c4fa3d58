"""What the rater writes of corrections is proved; one thing made wrong in it is found."""

from collections.abc import Callable
from typing import Any

import pytest

from ledger.adapters.books import StoredBooks
from ledger.adapters.stored_state import stored_state
from ledger.adapters.topics import decode_event
from ledger.core.findings import Findings
from ledger.core.model import InputRecord, RatedRecord, RejectedRecord
from ledger.core.queries import QueriesWithoutRoot
from ledger.core.state import InputEnds
from ledger.core.streams import Start, Walk, Whole
from ledger.core.totals import Totals
from ledger.core.verification import PartitionLogs, PartitionVerifier, Tools
from pricing.compile import CompiledBook
from rate_book.dimensions import dimension_values
from rater.adapters.outputs import rejected_output
from schemas.codec import CODEC
from tests.unit.ledger.world import HeldInputs
from tests.unit.rater.corrected import BOOKS, Partition, usage
from tests.unit.rater.fake_log import FakeLog
from tests.unit.rater.fakes import NOW_US

Json = dict[str, Any]


class Books(StoredBooks):
    """The versions of the tests, without a database."""

    def __init__(self) -> None:
        super().__init__("")

    def _load(self, version: int) -> CompiledBook:
        return BOOKS[version]


class Written:
    """Everything that a partition wrote; a test may change it before it is verified."""

    def __init__(self, partition: Partition) -> None:
        self.frames = partition.frames
        self.rated = [CODEC.decode("RatedUsage", value) for value in partition.values]
        self.rejected = [
            CODEC.decode("RejectedUsage", rejected_output("t", 0, it).value)
            for result in partition.results
            for it in result.rejected
        ]
        self.events = partition.events
        self.head = partition.memory.head
        log = FakeLog()
        for result in partition.results:
            log.commit(result)
        self.state = {it.key or b"": it.value for it in log.topics["state"]}

    def found(self) -> set[str]:
        findings = Findings()
        inputs = [InputRecord(number, NOW_US, b"steps", value) for number, value in enumerate(self.events)]
        logs = PartitionLogs(
            frames=self.frames,
            rated=Walk(
                [
                    RatedRecord(
                        offset,
                        it["event"]["customer_id"].encode(),
                        CODEC.encode("RatedUsage", it),
                        False,
                        it["event"],
                        it["rating"],
                    )
                    for offset, it in enumerate(self.rated)
                ]
            ),
            rejected=Walk(
                [
                    RejectedRecord(offset, it, it["topic"] == "usage.events")
                    for offset, it in enumerate(self.rejected)
                ]
            ),
            inputs=HeldInputs(inputs, 0),
            state=stored_state(self.state),
            ends={
                "events": InputEnds(0, self.head.events_next),
                "corrections": InputEnds(0, self.head.corrections_next),
            },
            tail=list,
            whole=Whole(),
            start=Start(),
        )
        books = Books()
        tools = Tools(books.recompute, books.reverse, dimension_values, decode_event, lambda _: 0)
        PartitionVerifier(0, logs, tools, findings, Totals(), QueriesWithoutRoot()).run(lambda _: None)
        return set(findings.counts)


def corrected() -> Written:
    """Frame 1: events, two of them without a pool. 2: a void, an amend, the void again, a stale one. 3: half
    of a run, an event. 4: its end. 5: a void of what closed it. 6: another run begins.
    """
    partition = Partition()
    partition.run(
        [*(usage(number, 400) for number in range(1, 6)), usage(1, 1000, "flat"), usage(2, 1000, "flat")]
    )
    void = partition.command("void", 2)
    amend = partition.amend(3, usage(3, 700))
    partition.run(commands=[void, amend, void, partition.command("void", 3, correction_id="stale")])
    partition.version = 2

    def rerate(number: int, run_id: str = "run", customer: str = "steps", **fields: Any) -> Json:
        return partition.command("rerate", number, customer, run_id=run_id, **fields)

    partition.run([usage(9, 50)], [rerate(1), rerate(3), rerate(1, "run", "flat"), b"no command"])
    closes = [{"pool": pool, "start_us": start_us} for _, pool, start_us in partition.memory.periods]
    partition.run(commands=[rerate(4), rerate(5, closes=closes)])
    partition.run(commands=[partition.command("void", 5)])
    partition.run(commands=[rerate(1, "run-2", book_version=1)])
    # 1, 3, 4 and 9 are left: 400 + 700 + 400 + 50 = 1550, under version 2 20 + 5.5. What run-2 has replaced:
    # 400 at 0.01 are 4 instead of 400 at 0.02.
    assert partition.rejected == [
        ("usage.corrections", "stale_correction", "target"),
        ("usage.corrections", "undecodable", "header"),
    ]
    quantity, amount = partition.live()
    assert (quantity, amount) == ("1550", "21.5")
    assert len(partition.memory.runs) == 1
    return Written(partition)


def test_what_the_rater_writes_is_proved() -> None:
    assert corrected().found() == set()


def leg(written: Written, name: str, number: int = 0) -> Json:
    """The rating of the leg of that number."""
    found: Json = [it["rating"] for it in written.rated if it["rating"]["leg"] == name][number]
    return found


def price(rating: Json, amount: str) -> None:
    rating["price"]["amount"] = amount


def revision_of(written: Written) -> Json:
    told: Json = next(it for it in written.frames[1]["customers"][0]["revisions"] if it["voided"])
    return told


def run_of(written: Written) -> Json:
    told: Json = written.frames[5]["customers"][0]["runs"][0]
    return told


def state_key(written: Written, prefix: bytes) -> bytes:
    return next(key for key, value in written.state.items() if key.startswith(prefix) and value is not None)


def changed_state(written: Written, prefix: bytes, schema: str, **fields: Any) -> None:
    key = state_key(written, prefix)
    state = CODEC.decode(schema, written.state[key])
    written.state[key] = CODEC.encode(schema, state | fields)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        pytest.param(lambda w: price(leg(w, "reversal"), "-3"), "amount", id="a reversal's price"),
        pytest.param(lambda w: leg(w, "reversal")["lines"].pop(), "amount", id="a void's adjustment"),
        pytest.param(lambda w: leg(w, "reversal")["lines"][0].update(quantity="-399"), "amount", id="a line"),
        pytest.param(lambda w: leg(w, "reversal").update(plan=None), "amount", id="a reversal's plan"),
        pytest.param(lambda w: leg(w, "reversal", 3)["lines"].pop(0), "amount", id="a re-rate's reversal"),
        pytest.param(lambda w: price(leg(w, "replacement", 2), "1"), "amount", id="a replacement's price"),
        pytest.param(
            lambda w: leg(w, "reversal")["pools_before"][0].update(quantity="1999"), "pool_chain", id="live"
        ),
        pytest.param(
            lambda w: leg(w, "replacement", 2)["pools_before"][0].update(quantity="401"),
            "pool_chain",
            id="a run's quantity",
        ),
        pytest.param(lambda w: leg(w, "reversal").update(revision=2), "revision", id="a revision"),
        pytest.param(lambda w: revision_of(w).update(voided=False), "revision", id="a frame's revision"),
        pytest.param(lambda w: run_of(w).update(amount="9"), "runs", id="a frame's run"),
        pytest.param(
            lambda w: changed_state(w, b"r/", "RevisionState", revision=7), "state", id="a stored revision"
        ),
        pytest.param(lambda w: changed_state(w, b"u/", "RunState", amount="7"), "state", id="a stored run"),
        pytest.param(lambda w: w.state.pop(state_key(w, b"u/")), "state_missing", id="no stored run"),
        pytest.param(
            lambda w: w.frames[1].update(corrections_applied=1, corrections_repeated=2),
            "rated_count",
            id="a count",
        ),
        pytest.param(lambda w: w.frames[1].update(corrections_repeated=0), "conservation", id="the range"),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[Written], object], check: str) -> None:
    written = corrected()
    change(written)
    assert check in written.found()


def test_a_reversal_of_nothing_is_found() -> None:
    """As if the void had been written twice, under the next sequence."""
    written = corrected()
    del written.rated[1]
    assert {"reversal", "sequence_missing"} <= written.found()
