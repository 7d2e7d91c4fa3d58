"""The order of effects: read, check, send, wait for acknowledgements, and account for each event."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from producers.core.trace import length_us
from producers.core.trace_events import trace_events
from schemas.codec import decode, encode
from schemas.errors import WireError
from schemas.models.usage_event import UsageEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from producers.core.trace import Trace
    from ratestream_client import Report
    from runtime.clock import Clock

_WAIT_S_MAX: Final = 0.5  # a replay that waits for its next event still hears an interrupt


class Publishing(Protocol):
    """What the service needs of producers.adapters.publisher."""

    def send(self, customer_id: str, value: bytes) -> None: ...
    def wait(self, wait_s: float) -> None: ...
    def finish(self) -> Report: ...


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not sent: its number from 1, and what is wrong with it."""

    line: int
    reason: str
    field: str
    value: str
    rule: str

    def sentence(self) -> str:
        return f"line {self.line}: {self.field} is {self.value}; rule: {self.rule}"


@dataclass(frozen=True, slots=True)
class Lost:
    """An event without acknowledgement; it may or may not have arrived, and sending it again is safe."""

    customer_id: str
    event_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the events: read = sent + bad, sent = acknowledged + unacknowledged."""

    sent: int
    acknowledged: int
    bad: tuple[BadLine, ...]
    unacknowledged: tuple[Lost, ...]


def emit_lines(
    lines: Iterable[bytes], publisher: Publishing, on_bad: Callable[[BadLine], None] = lambda _: None
) -> Summary:
    """Send each line's event; a bad line is told and the others are sent. Blank lines are passed over."""
    bad: list[BadLine] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = UsageEvent.from_json(line)
            value = encode("UsageEvent", event.to_avro())
        except WireError as error:
            bad.append(BadLine(number, error.reason, error.field, error.value, error.rule))
            on_bad(bad[-1])
            continue
        publisher.send(event.customer_id, value)
    return _summary(publisher.finish(), tuple(bad))


def replay(
    traces: Sequence[Trace],
    start_us: int,
    publisher: Publishing,
    clock: Clock,
    *,
    speed: float | None,
    limit: int | None = None,
    on_sent: Callable[[], object] = lambda: None,
) -> Summary:
    """Send the traces' events, `speed` times as fast as they came; None is as fast as possible."""
    began_s = clock.monotonic_s()
    for event in islice(trace_events(traces, start_us), limit):
        if speed is not None:
            due_s = began_s + (event["event_time_us"] - start_us) / 1_000_000 / speed
            while (left_s := due_s - clock.monotonic_s()) > 0:
                publisher.wait(min(left_s, _WAIT_S_MAX))
        publisher.send(event["customer_id"], encode("UsageEvent", event))
        on_sent()
    return _summary(publisher.finish(), ())


def default_start_us(traces: Sequence[Trace], clock: Clock) -> int:
    """The start that makes the last event happen now, microseconds since 1970 UTC."""
    return clock.now_us() - length_us(traces)


def _summary(report: Report, bad: tuple[BadLine, ...]) -> Summary:
    lost = tuple(
        Lost(missing.customer_id, decode("UsageEvent", missing.value)["event_id"], missing.why or "")
        for missing in report.unacknowledged
    )
    return Summary(report.emitted, report.acknowledged, bad, lost)
