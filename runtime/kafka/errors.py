"""What to do about an error of a Kafka client: one policy, in one place."""

from enum import Enum

from confluent_kafka import KafkaError, KafkaException

from runtime.errors import InfrastructureError

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's public codes carry an underscore
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)


class Action(Enum):
    """What the caller does next."""

    RETRY = "retry the same call until the deadline"
    ABORT = "abort the transaction and rewind"
    STOP = "stop the process"


class KafkaUnavailableError(InfrastructureError):
    """Kafka did not do its part within the budget, or reported what no retry mends: the process stops."""


class FencedError(KafkaUnavailableError):
    """Another process has this transactional id, or the broker gave the transaction up: stop and restart."""


class PositionLostError(KafkaUnavailableError):
    """The broker no longer holds an input position: records are gone, so the process stops."""


class AbortNeededError(Exception):
    """The open transaction must be aborted; nothing of it was committed."""


def error_of(exception: KafkaException) -> KafkaError:
    """The KafkaError that the exception carries."""
    error = exception.args[0]
    if not isinstance(error, KafkaError):
        raise exception
    return error


def action_for(error: KafkaError) -> Action:
    """Fenced and fatal stop; what asks for an abort is aborted; retriable is retried; the rest stops."""
    if error.fatal() or error.code() in _FENCED:
        return Action.STOP
    if error.txn_requires_abort():
        return Action.ABORT
    if error.retriable():
        return Action.RETRY
    return Action.STOP


def stop_error(what: str, error: KafkaError) -> KafkaUnavailableError:
    """The exception that stops the process, saying what was being done."""
    kind = FencedError if error.code() in _FENCED else KafkaUnavailableError
    return kind(f"{what}: {error.name()}: {error.str()}")
