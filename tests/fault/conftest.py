"""Fault tests: every one is marked, a failpoint that was ordered must act, and a table says which did."""

from collections import Counter
from collections.abc import Iterator

import pytest

from aggregator.service import FAILPOINTS as AGGREGATOR_FAILPOINTS
from budget_guard.adapters.delivery import FAILPOINTS as DELIVERY_FAILPOINTS
from budget_guard.service import FAILPOINTS as GUARD_FAILPOINTS
from ledger.service import FAILPOINTS as LEDGER_FAILPOINTS
from rater.service import FAILPOINTS as RATER_FAILPOINTS
from tests.fix_rater import Pipeline

FAILPOINTS = (
    RATER_FAILPOINTS | LEDGER_FAILPOINTS | AGGREGATOR_FAILPOINTS | GUARD_FAILPOINTS | DELIVERY_FAILPOINTS
)
_SEEN: Counter[tuple[str, str]] = Counter()
_HERE = "tests/fault/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(_HERE):
            for mark in (pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres):
                item.add_marker(mark)


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Iterator[Pipeline]:
    """A pipeline whose ordered failpoints are checked to have acted. Time-outs are short."""
    pipeline.environment |= {
        "RATESTREAM_RATER__SESSION_TIMEOUT_MS": "2000",
        "RATESTREAM_RATER__TRANSACTION_TIMEOUT_MS": "6000",
        "RATESTREAM_RATER__BATCH_WAIT_MS": "50",
    }
    yield pipeline
    seen = pipeline.seen()
    _SEEN.update(seen)
    missed = pipeline.scheduled - {name for name, _ in seen}
    assert not missed, f"failpoints that were ordered and never reached: {', '.join(sorted(missed))}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of failpoints."""
    if not _SEEN:
        return
    actions = sorted({action.split("=")[0] for _, action in _SEEN})
    terminalreporter.section("failpoints acted")
    terminalreporter.write_line(f"{'failpoint':<34}" + "".join(f"{action:>8}" for action in actions))
    for name in sorted(FAILPOINTS):
        times = [
            sum(
                count for (seen, full), count in _SEEN.items() if (seen, full.split("=")[0]) == (name, action)
            )
            for action in actions
        ]
        terminalreporter.write_line(f"{name:<34}" + "".join(f"{count or '-':>8}" for count in times))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A whole run of the fault tests that passed by a failpoint without acting there has not shown it."""
    option = session.config.option
    whole = not (option.markexpr or option.keyword or option.collectonly) and any(
        argument.rstrip("/").endswith("tests/fault") for argument in session.config.args
    )
    missed = FAILPOINTS - {name for name, _ in _SEEN}
    if whole and missed and exitstatus == pytest.ExitCode.OK:
        print(f"\nfailpoints that never acted: {', '.join(sorted(missed))}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
