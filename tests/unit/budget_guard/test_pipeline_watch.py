"""What operators are told of lag that nobody can measure."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

from budget_guard.adapters.pipeline import Lags, PipelineWatch
from budget_guard.settings import OperationsSettings
from pricing.budgets import BudgetBook
from runtime.clock import SystemClock
from runtime.kafka.errors import KafkaUnavailableError
from runtime.progress import LagUnknownError


class Database:
    """Has one open episode, and keeps what was changed."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.changed: list[str] = []

    def execute(self, query: str, *_: object) -> Any:
        if query.startswith("update"):
            self.changed.append(query)
        rows = [(self.what,)] if "closed_at is null" in query else []
        return SimpleNamespace(fetchall=lambda: rows)


def watch(database: Database, lags: Lags) -> PipelineWatch:
    session = SimpleNamespace(transaction=lambda: nullcontext(database))
    return PipelineWatch(
        cast("Any", session),
        lags,
        OperationsSettings(for_s=0),
        SystemClock(),
        cast("Any", SimpleNamespace(add=lambda *_, **__: None)),
        rated_topic="usage.rated",
        leads=lambda: True,
        book=BudgetBook,
        wake=lambda: None,
    )


def unknown() -> int:
    raise LagUnknownError("the broker is away")


def away() -> dict[int, int]:
    raise KafkaUnavailableError("the broker is away")


def test_lag_that_cannot_be_measured_is_not_over() -> None:
    """Else a broker that is away for a minute ends the episode, and the next one pages again."""
    for what in ("rater_lag", "ledger_lag", "totals_lag"):
        database = Database(what)
        watch(database, Lags(rater=unknown, totals=unknown, rated_ends=away)).step()
        assert database.changed == []


def test_one_lag_that_cannot_be_measured_hides_no_other() -> None:
    database = Database("totals_lag")
    watch(database, Lags(rater=unknown, totals=lambda: 0, rated_ends=dict)).step()
    assert len(database.changed) == 1
