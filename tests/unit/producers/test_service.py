"""What is sent, when, and what is told about the rest; no broker here."""

from pathlib import Path

import pytest

from producers.adapters.runs import Runs
from producers.adapters.trace_files import load_trace, load_traces
from producers.core.trace import HEADER, parse_trace
from producers.service import BadLine, default_start_us, emit_lines, replay
from ratestream_client import Delivery, Report
from runtime.errors import UsageProblemError
from schemas import codec

GOOD = (
    b'{"specversion":"1.0","type":"ai.usage.v1","id":"%d","source":"chat","subject":"amber-bank",'
    b'"time":"2026-11-18T12:00:00Z","data":{"provider":"openai","usage_semantics":"inclusive",'
    b'"usage":{"input_tokens":1}}}\n'
)
TRACE = parse_trace("small", [HEADER, "2023-11-16 00:00:00.0000000,1,2", "2023-11-16 00:00:10.0000000,3,4"])


class FakeClock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def now_us(self) -> int:
        return 1_795_000_000_000_000

    def monotonic_s(self) -> float:
        return self.at_s


class FakePublisher:
    """Keeps what is sent with the time; the last `lost` events are not acknowledged."""

    def __init__(self, clock: FakeClock, lost: int = 0) -> None:
        self.sent: list[tuple[float, str, bytes]] = []
        self._clock = clock
        self._lost = lost

    def send(self, customer_id: str, value: bytes) -> None:
        self.sent.append((self._clock.at_s, customer_id, value))

    def wait(self, wait_s: float) -> None:
        self._clock.at_s += wait_s

    def finish(self) -> Report:
        missing = self.sent[len(self.sent) - self._lost :]
        lost = tuple(Delivery(customer_id, value, None, "timed out") for _, customer_id, value in missing)
        return Report(len(self.sent), len(self.sent) - self._lost, lost)


def test_a_bad_line_is_told_with_its_number_and_the_others_are_sent() -> None:
    publisher = FakePublisher(FakeClock())
    told: list[BadLine] = []
    lines = [GOOD % 1, b"\n", GOOD.replace(b":1}", b":-1}") % 2, b"not json\n", GOOD % 3]
    summary = emit_lines(lines, publisher, told.append)
    ids = [codec.decode("UsageEvent", value)["event_id"] for _, _, value in publisher.sent]
    assert ids == ["1", "3"]
    assert (summary.sent, summary.acknowledged) == (2, 2)
    assert tuple(told) == summary.bad
    assert [(bad.line, bad.reason, bad.field) for bad in told] == [
        (3, "bad_quantity", "data.usage.input_tokens"),
        (4, "invalid_field", "line"),
    ]
    assert told[0].sentence().startswith("line 3: data.usage.input_tokens is '-1'; rule: a plain decimal")


def test_events_without_acknowledgement_are_listed_by_id() -> None:
    summary = emit_lines([GOOD % 1, GOOD % 2], FakePublisher(FakeClock(), lost=1))
    assert (summary.sent, summary.acknowledged) == (2, 1)
    assert [(lost.event_id, lost.why) for lost in summary.unacknowledged] == [("2", "timed out")]


@pytest.mark.parametrize(("speed", "waited_s"), [(1.0, 10.0), (2.0, 5.0), (0.5, 20.0), (None, 0.0)])
def test_a_replay_keeps_the_spacing_at_its_speed(speed: float | None, waited_s: float) -> None:
    clock = FakeClock()
    publisher = FakePublisher(clock)
    summary = replay([TRACE], 5, publisher, clock, speed=speed)
    assert [at_s - 100.0 for at_s, _, _ in publisher.sent] == [0.0, waited_s]
    times = [codec.decode("UsageEvent", value)["event_time_us"] for _, _, value in publisher.sent]
    assert times == [5, 10_000_005]
    assert summary.acknowledged == 2


def test_a_replay_may_be_limited() -> None:
    publisher = FakePublisher(FakeClock())
    assert replay([TRACE], 5, publisher, FakeClock(), speed=None, limit=1).sent == 1


def test_by_default_the_last_event_happens_now() -> None:
    assert default_start_us([TRACE], FakeClock()) == 1_795_000_000_000_000 - 10_000_000


def test_a_run_is_stored_whatever_the_order_of_its_traces(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "replay")
    assert runs.start_us(["b", "a"]) is None
    runs.store(["b", "a"], 17)
    assert runs.start_us(["a", "b"]) == 17
    assert runs.start_us(["a"]) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"start_us": "17"}'])
def test_a_stored_run_that_cannot_be_read_is_told(tmp_path: Path, content: str) -> None:
    runs = Runs(tmp_path)
    runs.path(["a"]).write_text(content, "utf-8")
    with pytest.raises(UsageProblemError, match="start"):
        runs.start_us(["a"])


def test_a_file_of_ones_own_gets_its_digest_into_its_name(tmp_path: Path) -> None:
    """Two files of one name must not give the same event ids."""
    path = tmp_path / "azure_llm_2023_conv.csv"
    path.write_text(f"{HEADER}\n2023-11-16 00:00:00.0000000,1,2\n", "utf-8")
    name = load_trace(str(path)).name
    assert name.startswith("azure_llm_2023_conv-")
    path.write_text(f"{HEADER}\n2023-11-16 00:00:00.0000000,1,3\n", "utf-8")
    assert load_trace(str(path)).name != name


def test_traces_that_do_not_exist_or_come_twice_are_refused() -> None:
    with pytest.raises(UsageProblemError, match="azure_llm_2023_conv"):
        load_trace("no-such-trace")
    with pytest.raises(UsageProblemError, match="twice"):
        load_traces(["azure_llm_2023_code", "azure_llm_2023_code"])
