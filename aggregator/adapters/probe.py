"""The proof at start-up that aborted records are not seen: a record is really aborted, and looked for.

The setting that hides them is private to a library, and may be lost with any release of it: then every
aborted transaction of a rater would be counted.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from faust import streams

from aggregator.adapters.transport import CommittedApp, CommittedConsumer, CommittedTransport
from runtime.errors import InfrastructureError

_WAIT_S = 30.0


class ProbeError(Exception):
    """What this service relies on does not hold: it must not start."""

    exit_code = 3  # of the process: see runtime.errors


def check_stream_iterator() -> None:
    """Faust's compiled and its plain stream iterators treat messages of a former assignment differently: the
    plain one acknowledges them.

    Raises:
        ProbeError: the compiled one is not there.
    """
    if getattr(streams, "_CStreamIterator", None) is None:
        raise ProbeError("faust-streaming: the compiled stream iterator is missing: install its binary wheel")


async def check_committed_reads(
    app: CommittedApp, auth: Mapping[str, Any], topic: str, transactional_id: str
) -> None:
    """Abort a record, commit another, and read both with the consumer that the app would use.

    Raises:
        ProbeError: the aborted one is seen, or the committed one is not.
        InfrastructureError: Kafka is away.
    """
    try:
        await _check(app, auth, topic, transactional_id)
    except KafkaError as error:
        raise InfrastructureError(f"whether aborted records are hidden cannot be tried: {error}") from error


async def _check(app: CommittedApp, auth: Mapping[str, Any], topic: str, transactional_id: str) -> None:
    servers = [f"{url.host}:{url.port}" for url in app.conf.broker_consumer]
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, client_id=transactional_id, transactional_id=transactional_id, **auth
    )
    try:
        await producer.start()
        await producer.begin_transaction()
        aborted = await (await producer.send(topic, b"aborted", partition=0))
        await producer.abort_transaction()
        async with producer.transaction():
            committed = await (await producer.send(topic, b"committed", partition=0))
    finally:
        await producer.stop()
    seen = await _read(app, topic, aborted.offset, committed.offset)
    if aborted.offset in seen or committed.offset not in seen:
        raise ProbeError(
            f"{topic}: offset {aborted.offset} was aborted and {committed.offset} committed, but a consumer "
            f"sees {sorted(seen)}: aborted transactions would be counted"
        )


async def _read(app: CommittedApp, topic: str, first: int, last: int) -> set[int]:
    consumer = _consumer(app)
    await consumer.start()
    seen: set[int] = set()
    try:
        where = TopicPartition(topic, 0)
        consumer.assign([where])
        consumer.seek(where, first)
        async with asyncio.timeout(_WAIT_S):
            while not seen or max(seen) < last:
                record = await consumer.getone()
                seen.add(record.offset)
    except TimeoutError:
        pass  # what was seen until then is judged
    finally:
        await consumer.stop()
    return seen


def _consumer(app: CommittedApp) -> AIOKafkaConsumer:
    """Made as the app's own thread makes it, but run here."""
    owner = app.consumer
    if not isinstance(owner, CommittedConsumer):
        raise ProbeError(f"the app's consumer is {type(owner).__name__}")
    thread = owner._new_consumer_thread()  # noqa: SLF001 - what the app does when it starts
    consumer = thread._create_worker_consumer(cast("CommittedTransport", app.transport))  # noqa: SLF001 - as above
    thread.thread_loop.close()
    return consumer
