"""The client package before anything is sent: exact quantities, rules, settings, a queue without a broker."""

from decimal import Decimal
from typing import Any

import pytest

from ratestream_client import (
    Delivery,
    Emitter,
    InvalidEvent,
    NotQueued,
    QueueFull,
    RoutingDecision,
    Unacknowledged,
    UsageEvent,
)
from ratestream_client.emitter import EVENT_BYTES_MAX

NOBODY = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}  # nothing listens on port 1


def usage_event(**changes: Any) -> UsageEvent:
    fields: dict[str, Any] = {
        "customer_id": "amber-bank",
        "source": "chat",
        "event_id": "call-1",
        "event_time_us": 1_794_999_600_000_000,
        "provider": "openai",
        "usage_semantics": "inclusive",
        "usage": {"input_tokens": 1200},
    }
    return UsageEvent(**(fields | changes))


def test_quantities_are_exact() -> None:
    usage = {"input_tokens": 7, "audio_seconds": Decimal("1E-3"), "images": "2.50"}
    assert usage_event(usage=usage).to_record()["usage"] == {
        "input_tokens": "7",
        "audio_seconds": "0.001",
        "images": "2.50",
    }


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        True,
        None,
        Decimal("NaN"),
        "1e3",
        "-1",
        Decimal(-1),
        -1,
        pytest.param(-(10**5000), id="huge negative"),
        10**20,
        pytest.param(10**5000, id="huge"),
        Decimal("1e999999"),
        Decimal("1e-999999"),
    ],
)
def test_an_inexact_or_impossible_quantity_is_refused(value: Any) -> None:
    with Emitter(NOBODY) as emitter, pytest.raises(InvalidEvent) as caught:
        emitter.emit(usage_event(usage={"input_tokens": value}))
    assert (caught.value.reason, caught.value.field) == ("bad_quantity", "usage.input_tokens")


@pytest.mark.parametrize(
    "changes",
    [{"customer_id": ""}, {"event_id": None}, {"tags": {"a": "\0"}}, {"status": "fine"}, {"attempt": 0}],
)
def test_what_the_rater_would_reject_is_refused_before_it_is_queued(changes: dict[str, Any]) -> None:
    with Emitter(NOBODY) as emitter:
        with pytest.raises(InvalidEvent):
            emitter.emit(usage_event(**changes))
        assert emitter.report().emitted == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_time_us", 1_794_999_600_000_000.0),
        ("event_time_us", "1794999600000000"),
        ("event_time_us", True),
        ("event_time_us", None),
        ("event_time_us", 2**63),
        ("attempt", True),
        ("attempt", 1.0),
        pytest.param("attempt", 10**5000, id="huge attempt"),
        ("usage", None),
        ("usage", [("input_tokens", 1)]),
        ("context", None),
        ("tags", "text"),
        ("compliance_tags", "hipaa"),
        ("compliance_tags", None),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_field(field: str, value: Any) -> None:
    """fastavro itself would write "hipaa" as five tags and True as 1."""
    with pytest.raises(InvalidEvent) as caught:
        usage_event(**{field: value}).to_record()
    assert (caught.value.reason, caught.value.field) == ("invalid_field", field)


def test_candidates_are_a_list() -> None:
    routing = RoutingDecision(router="r", candidates="ab")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(InvalidEvent, match=r"routing\.candidates"):
        usage_event(routing=routing).to_record()


def test_bytes_beyond_the_topics_limit_are_refused() -> None:
    with Emitter(NOBODY) as emitter, pytest.raises(InvalidEvent, match="at most 1048576 bytes"):
        emitter.emit_encoded("amber-bank", b"x" * (EVENT_BYTES_MAX + 1))


def test_headers_that_make_the_message_too_large_are_refused() -> None:
    with Emitter(NOBODY) as emitter:
        with pytest.raises(InvalidEvent, match="with key and headers"):
            emitter.emit_encoded("amber-bank", b"x" * EVENT_BYTES_MAX, {"h": b"x" * 70_000})
        assert emitter.report().emitted == 0


def test_a_promise_cannot_be_set_away() -> None:
    with pytest.raises(ValueError, match="acks, partitioner"):
        Emitter(NOBODY | {"partitioner": "consistent", "acks": "1"})


def test_a_full_queue_waits_then_refuses_and_keeps_what_it_took() -> None:
    emitter = Emitter(NOBODY, queue_messages_max=2, wait_s_max=0.05)
    for number in range(2):
        emitter.emit(usage_event(event_id=str(number)))
    with pytest.raises(QueueFull):
        emitter.emit(usage_event(event_id="2"))
    with pytest.raises(Unacknowledged) as caught:
        emitter.close(timeout_s=0.05)
    report = caught.value.report
    assert (report.emitted, report.acknowledged) == (2, 0)
    assert [missing.event and missing.event.event_id for missing in report.unacknowledged] == ["0", "1"]
    with pytest.raises(NotQueued):
        emitter.emit(usage_event())


def test_failed_events_are_told_and_handed_over_once() -> None:
    ended: list[Delivery] = []
    emitter = Emitter(
        NOBODY, on_delivery=ended.append, delivery_s_max=0.2, queue_messages_max=1, wait_s_max=0.05
    )
    event = usage_event()
    emitter.emit(event)
    with pytest.raises(Unacknowledged):
        emitter.flush(5)
    with pytest.raises(QueueFull):  # one failed event waits to be taken, and one is the limit
        emitter.emit(event)
    assert [delivery.event for delivery in ended] == [event]
    assert ended[0].why is not None
    assert emitter.take_failed() == tuple(ended)
    assert emitter.take_failed() == ()
    assert emitter.close(1).unacknowledged == ()


def test_leaving_the_block_raises_where_something_is_not_acknowledged() -> None:
    with pytest.raises(Unacknowledged), Emitter(NOBODY, delivery_s_max=0.1) as emitter:
        emitter.emit(usage_event())
