"""`ratestream budget`, its versions and their readers against a real PostgreSQL."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from cli.__main__ import exit_code
from cli.budget import budget
from pricing.cards import Assignment, BookContent, Contract, PriceCard
from rate_book.budgets.errors import BudgetsUnknownError
from rate_book.budgets.form import load_budgets_of
from rate_book.budgets.source import BudgetSource
from rate_book.budgets.store import apply_budgets, budget_versions, newest_book
from rate_book.errors import BookInvalidError, NoBookError, StoreBrokenError
from rate_book.store import apply
from rate_book.watched import WatchedScopes
from runtime.errors import UsageProblemError
from runtime.postgres import connect, migrate
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

DEADLINE_S = 20.0
TEXT = """
budgets:
  - budget: monthly
    customers: [{customer}]
    scope: {{feature: chat}}
    measure: price
    currency: USD
    window: period
    limit: {limit}
    thresholds: [{{at: 80%}}]
"""
BOOK = BookContent(
    price_cards=(PriceCard("list", ()),),
    contracts=(Contract("c", "USD", ("list",)),),
    assignments=(Assignment("*", "c"),),
)


@pytest.fixture(autouse=True)
def _database(postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATESTREAM_POSTGRES__DSN", postgres.dsn)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "budgets.yaml")


def written(path: Path, *, limit: str = "100", customer: str = "acme") -> Path:
    path.write_text(TEXT.format(limit=limit, customer=customer))
    return path


def apply_book(postgres: PostgresFixture) -> None:
    with connect(postgres.dsn) as connection:
        migrate(connection)
        apply(connection, BOOK, author="test")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(budget, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def answer(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "condition not met in time"
        pause.wait(0.02)


def test_the_command(postgres: PostgresFixture, path: Path) -> None:
    with pytest.raises(NoBookError) as without:
        run("apply", str(path))
    assert exit_code(without.value) == 3
    with pytest.raises(UsageProblemError):
        run("apply")
    with pytest.raises(BudgetsUnknownError):
        run("list")
    apply_book(postgres)
    dry = answer("apply", str(path), "--dry-run")
    assert (dry["new"], dry["version"], dry["applied_at"]) == (True, 1, None)
    first = answer("apply", str(path), "--by", "finance", "--note", "first")
    assert (first["version"], first["author"], first["note"]) == (1, "finance", "first")
    assert first["changes"] == {"added": ["monthly"], "changed": [], "removed": []}
    assert "nothing changed: version 1" in run("apply", str(path), "--by", "somebody else")
    written(path, limit="150.0")
    assert "changed: monthly" in run("apply", str(path))
    written(path, customer="'*'", limit="bad")
    with pytest.raises(BookInvalidError) as faulty:
        run("apply", str(path))
    assert exit_code(faulty.value) == 1
    assert [item["version"] for item in answer("history")["versions"]] == [1, 2]
    assert answer("list", "--customer", "acme")["budgets"][0]["limit"] == "150"
    assert answer("list", "--customer", "other")["budgets"] == []
    assert answer("show", "monthly", "--version", "1")["budget"]["limit"] == "100"
    assert "monthly: acme on feature=chat; price of a period, limit 150 USD; 80%" in run("list")
    with pytest.raises(BookInvalidError, match="is not in this version"):
        run("show", "other")


def test_versions_are_in_one_order_and_never_change(postgres: PostgresFixture, tmp_path: Path) -> None:
    with connect(postgres.dsn) as connection:
        migrate(connection)

    def put(number: int) -> None:
        content = load_budgets_of([written(tmp_path / f"{number}.yaml", limit=str(number))])
        with connect(postgres.dsn) as connection:
            apply_budgets(connection, content, author="test")

    threads = [threading.Thread(target=put, args=(number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connect(postgres.dsn) as connection:
        assert [item.version for item in budget_versions(connection)] == [5, 4, 3, 2, 1]
    with postgres.connect() as plain:
        for statement in (
            b"update guard.budget_versions set note = ''",
            b"delete from guard.budget_versions",
            b"truncate guard.budget_versions",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                plain.execute(statement)
        plain.execute(
            b"insert into guard.budget_versions (version, author, note, content, content_hash)"
            b" values (6, 'x', '', '{\"budgets\": []}', 'other')"
        )
    with connect(postgres.dsn) as connection, pytest.raises(StoreBrokenError, match="version 6"):
        newest_book(connection)


def test_readers_see_a_new_version_within_moments(postgres: PostgresFixture, path: Path) -> None:
    watched = WatchedScopes(postgres.dsn, poll_s=60)  # so that only the notification can be the reason
    watched.start()
    source = BudgetSource(postgres.dsn, poll_s=60)
    source.start()
    try:
        assert source.wait_first(DEADLINE_S).version == 0
        assert (watched.version, watched.scopes("acme")) == (0, ((),))
        apply_book(postgres)
        run("apply", str(path))
        until(lambda: watched.version == 1)
        assert watched.scopes("acme") == ((), (("feature", "chat"),))
        assert watched.scopes("other") == ((),)
        until(lambda: source.newest().version == 1)
        assert source.newest().for_customer("acme").budgets[0].budget_id == "monthly"
    finally:
        source.stop()
        watched.stop()
    assert watched.version == 1


def test_a_reader_without_a_database_says_so() -> None:
    source = BudgetSource("host=127.0.0.1 port=1 dbname=none", poll_s=60)
    with pytest.raises(BudgetsUnknownError, match="no look has ended"):
        source.newest()
    source.start()
    try:
        until(lambda: source.last_error is not None)
        with pytest.raises(BudgetsUnknownError, match="cannot connect"):
            source.newest()
    finally:
        source.stop()
