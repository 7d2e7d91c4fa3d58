"""The one policy for errors of Kafka clients: which ask for a retry, an abort, an end."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.kafka.errors import (
    Action,
    FencedError,
    KafkaUnavailableError,
    action_for,
    error_of,
    stop_error,
)

FENCED = [
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
]


def error(
    code: int = KafkaError._TIMED_OUT, *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaError:
    return KafkaError(code, "because", fatal, retriable, abort)


@pytest.mark.parametrize("code", FENCED)
def test_a_fenced_producer_stops_whatever_else_the_error_says(code: int) -> None:
    assert action_for(error(code, retriable=True, abort=True)) is Action.STOP
    assert isinstance(stop_error("commit", error(code)), FencedError)


@pytest.mark.parametrize(
    ("fatal", "retriable", "abort", "action"),
    [
        (True, True, True, Action.STOP),
        (True, False, False, Action.STOP),
        (False, True, True, Action.ABORT),
        (False, False, True, Action.ABORT),
        (False, True, False, Action.RETRY),
        (False, False, False, Action.STOP),
    ],
)
def test_fatal_before_abort_before_retry_and_the_rest_stops(
    *, fatal: bool, retriable: bool, abort: bool, action: Action
) -> None:
    assert action_for(error(fatal=fatal, retriable=retriable, abort=abort)) is action


def test_what_stops_the_process_says_what_was_being_done_and_has_the_exit_code_of_infrastructure() -> None:
    stopped = stop_error("send offsets", error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert type(stopped) is KafkaUnavailableError
    assert str(stopped) == "send offsets: TOPIC_AUTHORIZATION_FAILED: because"
    assert stopped.exit_code == 3


def test_an_exception_that_carries_no_kafka_error_goes_on() -> None:
    carried = error()
    assert error_of(KafkaException(carried)) is carried
    with pytest.raises(KafkaException, match="something else"):
        error_of(KafkaException("something else"))
