"""The same work in stock faust-streaming: an agent, one RocksDB table of totals with its changelog."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

import faust

from bench.meter import Meter
from bench.peers.work import Work

_BATCH = 100  # events between two looks at the clock


def make_app(arguments: argparse.Namespace) -> faust.App:
    """The app; it ends its process when it has had every event and committed them."""
    app = faust.App(
        arguments.id,
        broker=f"kafka://{arguments.bootstrap}",
        store="rocksdb://",
        datadir=arguments.directory,
        topic_partitions=arguments.partitions,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        processing_guarantee=arguments.guarantee,
        broker_commit_interval=arguments.commit_ms / 1000,
        producer_compression_type="lz4",
        producer_linger=0.005,
        web_enabled=False,
    )
    source = app.topic(arguments.source, key_serializer="raw", value_serializer="raw")
    target = app.topic(arguments.target, key_serializer="raw", value_serializer="raw")
    table: Any = app.Table("totals", default=lambda: [0, 0, 0], partitions=arguments.partitions)
    work, meter = Work(arguments.schemas), Meter()

    @app.agent(source)
    async def rate(stream: faust.StreamT[Any]) -> None:
        count = since = 0
        async for value in stream:
            event = work.decode(value)
            customer_id = event["customer_id"]
            totals = table[customer_id]
            done = work.rate(event, totals)
            table[customer_id] = totals
            await target.send(key=customer_id.encode(), value=done)
            count, since = count + 1, since + 1
            if since == _BATCH or count == arguments.events:
                meter.batch(since)
                since = 0
            if count == arguments.events:
                app.loop.call_later(5 * arguments.commit_ms / 1000 + 5, _end, meter)

    return app


def _end(meter: Meter) -> None:
    meter.report()
    sys.stdout.flush()
    os._exit(0)  # a clean stop takes long, and nothing is left to be done


def main() -> None:
    """Rate `--events` events."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--id", "--source", "--target", "--directory"):
        parser.add_argument(name, required=True)
    parser.add_argument("--schemas", type=Path, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--commit-ms", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--guarantee", choices=("exactly_once", "at_least_once"), required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    worker = faust.Worker(make_app(arguments), loglevel="error", redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
