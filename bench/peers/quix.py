"""The same work in quixstreams, exactly once: a stateful function of its RocksDB store with its changelog.

Runs in an environment of its own (`make bench-peers`): of this project it imports only what needs no
package.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from quixstreams import Application

from bench.meter import Meter
from bench.peers.work import Work

_BATCH = 500  # events between two looks at the clock


def main() -> None:
    """Rate `--events` events."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--id", "--source", "--target", "--directory"):
        parser.add_argument(name, required=True)
    parser.add_argument("--schemas", type=Path, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--commit-ms", type=int, required=True)
    arguments = parser.parse_args()
    logging.getLogger("quixstreams").setLevel(logging.ERROR)
    application = Application(
        broker_address=arguments.bootstrap,
        consumer_group=arguments.id,
        state_dir=arguments.directory,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=arguments.commit_ms / 1000,
        producer_extra_config={"linger.ms": 5, "compression.type": "lz4"},
        loglevel="ERROR",
    )
    source = application.topic(arguments.source, value_deserializer="bytes", key_deserializer="str")
    target = application.topic(arguments.target, value_serializer="bytes", key_serializer="str")
    work, meter, since = Work(arguments.schemas), Meter(), 0

    def rated(value: bytes, state: Any) -> bytes:
        nonlocal since
        event = work.decode(value)
        totals = state.get("totals") or [0, 0, 0]
        done = work.rate(event, totals)
        state.set("totals", totals)
        since += 1
        if since == _BATCH:
            meter.batch(since)
            since = 0
        return done

    frame = application.dataframe(source)
    frame.apply(rated, stateful=True).to_topic(target)
    application.run(count=arguments.events)
    meter.report()


if __name__ == "__main__":
    main()
