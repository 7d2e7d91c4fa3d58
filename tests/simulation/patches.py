"""What the adapters have in place of their libraries while a world runs."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.simulation import clients, disk, producing
from tests.simulation.schedule import SECOND_US, Schedule


class NoWatchdog:
    """Nothing hangs here but by the schedule."""

    def __init__(self, *_args: object) -> None: ...

    @contextmanager
    def within(self, _limit_s: float, _what: str) -> Iterator[None]:
        yield


class NoMetrics:
    """Counts nothing: what a world sees, its fakes count."""

    service = "simulated"

    def begin(self, *_what: object) -> None: ...
    def add(self, *_what: object, **_labels: object) -> None: ...
    def set(self, *_what: object, **_labels: object) -> None: ...
    def observe(self, *_what: object, **_labels: object) -> None: ...


class _RowByRow:
    """ColumnReader and PlainRows, as where they take nothing: batches are too small here for columns."""

    @staticmethod
    def read(values: list[bytes | None]) -> list[None]:
        return [None] * len(values)


class _Time:
    """The module `time`, by the schedule."""

    @staticmethod
    def sleep(seconds: float) -> None:
        Schedule.running.sleep(seconds)

    @staticmethod
    def monotonic() -> float:
        return Schedule.running.now_us / SECOND_US


def _rmtree(path: disk.SimPath, **_more: object) -> None:
    disk.Disk.now.remove(path)


def places() -> dict[str, Any]:
    """Each name that is replaced: libraries and the machine's clock, nothing of the project's own."""
    return {
        "runtime.kafka.group.Consumer": clients.SimConsumer,
        "runtime.kafka.reading.Consumer": clients.SimConsumer,
        "runtime.kafka.transactions.Producer": producing.SimProducer,
        "runtime.kafka.transactions.Watchdog": NoWatchdog,
        "runtime.kafka.reading.time": _Time,
        "rater.adapters.assignment.time": _Time,
        "rater.adapters.assignment.list_offsets": clients.list_offsets,
        "rater.adapters.assignment.describe": clients.describe,
        "ledger.adapters.beginning.list_offsets": clients.list_offsets,
        "ledger.adapters.beginning.describe": clients.describe,
        "ledger.adapters.intake._RATED": _RowByRow,
        "ledger.service.PlainRows": _RowByRow,
        "aggregator.adapters.table.WriteBatch": disk.SimBatch,
        "rater.adapters.state.Rdict": disk.SimRdict,
        "rater.adapters.state.WriteBatch": disk.SimBatch,
        "rater.adapters.state.table_options": disk.table_options,
        "rater.adapters.state.shutil": SimpleNamespace(rmtree=_rmtree),
    }


def executors() -> dict[str, Any]:
    """The pools of threads; imported late, for they need what this module gives."""
    ledgers = importlib.import_module("tests.simulation.ledgers")
    return {"ledger.service.ThreadPoolExecutor": ledgers.SimExecutor}


@contextmanager
def patched() -> Iterator[None]:
    """Worlds run inside this, one after another."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a coroutine that a crash left behind
            for name, replacement in (places() | executors()).items():
                module, attribute = name.rsplit(".", 1)
                stack.enter_context(patch.object(importlib.import_module(module), attribute, replacement))
            yield
    finally:
        logging.disable(before)
