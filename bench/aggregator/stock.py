"""What a Faust user would write: an agent over rated usage, a windowed table for each window and scope.

Stock faust-streaming: RocksDB tables with their changelogs, JSON values, at least once. A billing period is a
calendar month and a lifetime has no end, so these two are plain tables. Amounts are summed as exact integers.
"""

import argparse
import io
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import faust
from fastavro import parse_schema, schemaless_reader
from faust.serializers.codecs import Codec, register

from bench.meter import Meter
from schemas.codec import CODEC, HEADER_BYTES

WINDOWS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
PLAIN = ("period", "lifetime")
SCALE = 18
_BATCH = 100  # events between two looks at the clock


class RatedCodec(Codec):
    """RatedUsage by fastavro."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._schema = parse_schema(CODEC.schema("RatedUsage"))

    def _loads(self, data: Any) -> Any:
        body = io.BytesIO(data)
        body.seek(HEADER_BYTES)
        return schemaless_reader(body, self._schema, None)

    def _dumps(self, _value: Any) -> bytes:
        raise NotImplementedError("rated usage is read here, never written")


def event_time_s(event: faust.EventT[Any]) -> float:
    """Windows go by event time."""
    value: Any = event.value
    seconds: float = value["event"]["event_time_us"] / 1e6
    return seconds


def atto(text: str | None) -> int:
    """A plain decimal in units of 10**-18."""
    whole, _, fraction = (text or "0").partition(".")
    return int(whole + fraction.ljust(SCALE, "0"))


class Tables:
    """One table for each window and scope, by the names of both."""

    def __init__(self, app: faust.App, windows: list[str], scopes: list[str], partitions: int) -> None:
        self.names = [(window, scope) for window in windows for scope in scopes]
        self.of: dict[tuple[str, str], Any] = {}
        for window, scope in self.names:
            name = f"{window}-{scope.replace('=', '-') or 'customer'}"
            table: Any = app.Table(name, default=dict, partitions=partitions)
            if window in WINDOWS:
                size = WINDOWS[window]
                table = table.tumbling(size, expires=2 * size).relative_to(event_time_s)
            self.of[window, scope] = table

    def add(self, rated: Mapping[str, Any]) -> None:
        event, rating = rated["event"], rated["rating"]
        model = event["billed_model"] or event["served_model"] or event["requested_model"]
        for window, scope in self.names:
            if scope:
                name, _, value = scope.partition("=")
                if (model if name == "model" else event[name]) != value:
                    continue
            table = self.of[window, scope]
            key = event["customer_id"]
            if window == "period":
                key = f"{key}/{rating['service_period']['start_us']}"
            totals = table[key] if window in PLAIN else table[key].value()
            _add(totals, rating)
            table[key] = totals

    def content(self) -> list[tuple[str, str, str, int, Any]]:
        """(customer, window, scope, start in microseconds, totals) of every entry."""
        found = []
        for (window, scope), table in self.of.items():
            data = table.data if window in PLAIN else table.table.data
            for key, totals in data.items():
                if window in WINDOWS:
                    customer_id, (start_s, _) = key
                    start_us = int(start_s) * 1_000_000
                else:
                    customer_id, _, start = key.partition("/")
                    start_us = int(start or 0)
                found.append((customer_id, window, scope, start_us, totals))
        return found


def _add(totals: dict[str, Any], rating: Mapping[str, Any]) -> None:
    totals["events"] = totals.get("events", 0) + 1
    for side in ("cost", "price"):
        totals[side] = totals.get(side, 0) + atto(rating[side]["amount"])
    quantities = totals.setdefault("quantities", {})
    for line in rating["lines"]:
        if line["side"] == "cost":
            meter = line["meter"]
            quantities[meter] = quantities.get(meter, 0) + atto(line["quantity"])


def make_app(arguments: argparse.Namespace) -> faust.App:
    """The app; the agent ends the worker when it has had every event."""
    register("rated", RatedCodec())
    app = faust.App(
        arguments.id,
        broker=f"kafka://{arguments.bootstrap}",
        store="rocksdb://",
        datadir=arguments.directory,
        topic_partitions=arguments.partitions,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    topic = app.topic(arguments.source, key_serializer="raw", value_serializer="rated")
    tables = Tables(app, arguments.windows, arguments.scopes, arguments.partitions)
    meter = Meter()

    @app.agent(topic)
    async def sum_up(stream: faust.StreamT[Any]) -> None:
        count = since = 0
        async for rated in stream:
            tables.add(rated)
            count, since = count + 1, since + 1
            if since == _BATCH or count == arguments.events:
                meter.batch(since)
                since = 0
            if count == arguments.events:
                _write(arguments.answer, tables)
                meter.report()
                sys.stdout.flush()
                os._exit(0)  # a clean stop would wait for this very event

    return app


def _write(path: str, tables: Tables) -> None:
    Path(path).write_text(json.dumps(tables.content()), encoding="utf-8")


def main() -> None:
    """Sum up `--events` rated records of a topic; the tables' content goes to `--answer`."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--id", "--source", "--directory", "--answer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--windows", nargs="+", required=True)
    parser.add_argument("--scopes", nargs="+", required=True, help="dimension=value, or = for the customer")
    arguments = parser.parse_args()
    arguments.scopes = [scope.removesuffix("=") if scope == "=" else scope for scope in arguments.scopes]
    logging.basicConfig(level=logging.ERROR)
    worker = faust.Worker(make_app(arguments), loglevel="error", redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
