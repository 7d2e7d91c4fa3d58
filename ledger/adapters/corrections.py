"""Commands on usage.corrections, and what became of them in the ledger."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from runtime.errors import InfrastructureError, UsageProblemError
from runtime.kafka.clients import client_config
from runtime.kafka.publishing import CheckedPublisher
from runtime.postgres import Connection
from runtime.settings import KafkaSettings
from schemas import topics
from schemas.codec import decode, encode
from schemas.correction_rules import check_words
from schemas.errors import WireError
from schemas.topics import producer_limits

_CLIENT_ID = "ratestream-corrections"
_POLL_S = 0.2


class NotSettledError(InfrastructureError):
    """The ledger has not got what was published within the time given; what was published stays."""


class Refused(NamedTuple):
    """A command that the rater rejected; `place` is its partition and offset in usage.corrections."""

    customer_id: str
    source: str
    event_id: str
    correction_id: str
    reason: str
    detail: str
    place: tuple[int, int]


def check_said(author: str, reason: str) -> None:
    """What the rater would refuse of each command, before any is stored or published: UsageProblemError."""
    try:
        check_words(author=author, reason=reason)
    except WireError as error:
        raise UsageProblemError(f"--{error}") from error


def publisher(settings: KafkaSettings) -> CheckedPublisher:
    """A producer of usage.corrections; `publish` writes with it."""
    return CheckedPublisher(client_config(settings, _CLIENT_ID) | producer_limits(topics.USAGE_CORRECTIONS))


def publish(out: CheckedPublisher, settings: KafkaSettings, command: Mapping[str, Any]) -> None:
    """One Correction under its customer's key.

    Raises:
        UndeliveredError: the broker takes no more records.
    """
    key = command["customer_id"].encode()
    out.send(settings.topic_prefix + topics.USAGE_CORRECTIONS, key, encode("Correction", command), {})


def refused(connection: Connection, customers: Iterable[str]) -> list[Refused]:
    """The rejected commands of these customers, all that were ever, in the order of their partitions."""
    with connection.transaction():
        rows = connection.execute(
            "select record from ledger.rejected where topic = %s and customer_id = any(%s)"
            " order by kafka_partition, kafka_offset",
            (topics.USAGE_CORRECTIONS, list(customers)),
        ).fetchall()
    found = []
    for (value,) in rows:
        rejected = decode("RejectedUsage", bytes(cast("bytes", value)))
        try:
            correction = decode("Correction", rejected["original"])
        except WireError:
            continue  # no command of this tool's
        found.append(
            Refused(
                correction["customer_id"],
                correction["target"]["source"],
                correction["target"]["event_id"],
                correction["correction_id"],
                rejected["reason"],
                rejected["detail"],
                (rejected["partition"], rejected["offset"]),
            )
        )
    return found


def wait_for(settled: Callable[[], bool], what: str, quiet_s: float, progress: Callable[[], int]) -> None:
    """Asks until it is settled; gives up when `progress` stays the same for so many seconds.

    Raises:
        NotSettledError: nothing moved for so long.
    """
    seen, deadline = progress(), time.monotonic() + quiet_s
    while not settled():
        now = progress()
        if now != seen:
            seen, deadline = now, time.monotonic() + quiet_s
        elif time.monotonic() > deadline:
            raise NotSettledError(f"{what}: nothing came in {quiet_s:g} s; are rater and ledger running?")
        time.sleep(_POLL_S)
