"""`ratestream book` against a real PostgreSQL."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli.__main__ import exit_code
from cli.book import book
from pricing.errors import BookError
from rate_book.errors import BookInvalidError, ChangeTooSoonError, NoBookError
from rate_book.instants import parse_instant
from tests.fix_postgres import PostgresFixture

pytestmark = pytest.mark.postgres

LIST = """
provider: p
currency: USD
cards:
  - card: p/m
    models: [m]
    versions: [{{rates: {{input_tokens: {rate} per 1000000}}}}]
"""


@pytest.fixture(autouse=True)
def _database(postgres: PostgresFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATESTREAM_POSTGRES__DSN", postgres.dsn)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(book, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def answer(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_apply_migrates_applies_says_what_changed_and_show_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(LIST.format(rate="1"))
    first = answer("apply", str(tmp_path), "--author", "finance")
    assert (first["new"], first["version"], first["author"], first["lead_s"]) == (True, 1, "finance", 900)
    assert first["in_force"] is None
    assert "0001_rate_book.sql" in first["migrated"]
    assert "nothing changed: version 1" in run("apply", str(tmp_path))
    path.write_text(LIST.format(rate="2"))
    with pytest.raises(ChangeTooSoonError, match="provider card p/m from since ever") as caught:
        run("apply", str(tmp_path))
    assert caught.value.exit_code == 1
    second = answer("apply", str(tmp_path), "--retroactive")
    assert (second["version"], second["retroactive"]) == (2, True)
    assert second["touches"] == [{"what": "provider card p/m", "from": None}]
    shown = answer("show")
    assert shown["version"] == 2
    assert shown["content"]["provider cards"] == 1
    assert [item["version"] for item in shown["versions"]] == [2, 1]
    old = answer("show", "--version", "1", "--card", "p/m")
    assert old["found"][0]["versions"][0]["base"]["rates"] == [
        {"meter": "input_tokens", "rate": "1", "per": "1000000"}
    ]
    assert "version 2: in force since ever, retroactive" in run("show")
    with pytest.raises(BookInvalidError, match="is not in this version"):
        run("show", "--card", "p/x")
    with pytest.raises(NoBookError, match="version 9 is not stored"):
        run("show", "--version", "9")


def test_a_dry_run_says_what_an_apply_would_do_and_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(LIST.format(rate="1"))
    dry = answer("apply", str(tmp_path), "--dry-run")
    assert (dry["new"], dry["dry_run"], dry["version"], dry["migrated"]) == (True, True, 1, [])
    with pytest.raises(NoBookError):
        run("show")
    run("apply", str(tmp_path))
    path.write_text(LIST.format(rate="2"))
    with pytest.raises(ChangeTooSoonError):
        run("apply", str(tmp_path), "--dry-run")
    assert "nothing is stored; it would be\nversion 2: in force since ever" in run(
        "apply", str(tmp_path), "--dry-run", "--retroactive"
    )
    assert answer("show")["version"] == 1


CUSTOMERS = {
    "prices.yaml": """
price_card: list
currency: USD
cards:
  - card: list/any
    prefixes: [{{prefix: "*"}}]
    versions: [{{rates: {{input_tokens: {rate} per 1000000}}}}]
""",
    "contracts.yaml": "contracts: [{contract: c, currency: USD, price_cards: [list]}]",
    "assignments.yaml": "assignments: [{customer: '*', contract: c}, {customer: acme, contract: c}]",
}


def customers(folder: Path, rate: str) -> None:
    (folder / "p.yaml").write_text(LIST.format(rate="1"))
    for name, text in CUSTOMERS.items():
        (folder / name).write_text(text.format(rate=rate) if name == "prices.yaml" else text)


def test_a_retroactive_change_lists_what_it_touches_and_the_rerates_that_it_needs(tmp_path: Path) -> None:
    customers(tmp_path, "2")
    assert answer("apply", str(tmp_path))["rerates"] == []
    customers(tmp_path, "3")
    told = answer("apply", str(tmp_path), "--retroactive", "--dry-run")
    assert told["touches"] == [{"what": "price card list, card list/any, by contract c", "from": None}]
    assert [(item["side"], item["whose"], item["from"]) for item in told["rerates"]] == [
        ("price", "*", None),
        ("price", "acme", None),
    ]
    until_us, recorded_us = (
        parse_instant(text) for text in (told["rerates"][0]["until"], told["recorded_at"])
    )
    assert until_us - recorded_us == 900 * 1_000_000  # a rater may rely on the older version for the lead
    said = run("apply", str(tmp_path), "--retroactive")
    assert "price card list, card list/any, by contract c: from since ever" in said
    assert "price of customer acme, event times since ever until 20" in said


def test_diff_shows_each_price_of_files_beside_the_newest_version_and_of_two_versions(tmp_path: Path) -> None:
    """2 -> 3 for a million: 1 more, which is half."""
    customers(tmp_path, "2")
    assert "none -> 2 per 1000000" in run("diff", str(tmp_path))
    run("apply", str(tmp_path))
    assert "changes: 0" in run("diff", str(tmp_path))
    customers(tmp_path, "3")
    by_files = answer("diff", str(tmp_path))
    run("apply", str(tmp_path), "--retroactive")
    by_versions = answer("diff", "--to", "2")
    assert (by_files["from"], by_files["to"], by_versions["from"], by_versions["to"]) == (1, None, 1, 2)
    assert by_files["changes"] == by_versions["changes"]
    assert by_versions["changes"] == [
        {
            "what": "price card list, card list/any",
            "context": "",
            "step": "",
            "item": "input_tokens",
            "from": None,
            "to": None,
            "old": "2 per 1000000",
            "new": "3 per 1000000",
            "difference": "+1 per 1000000",
            "percent": "+50",
        }
    ]
    line = "input_tokens from since ever: 2 per 1000000 -> 3 per 1000000 (+1 per 1000000, +50 %)"
    assert line in run("diff", "--from", "1", "--to", "2")
    assert "3 per 1000000 -> 2 per 1000000" in run("diff", "--from", "2", "--to", "1")
    with pytest.raises(NoBookError, match="version 9 is not stored"):
        run("diff", "--to", "9")
    with pytest.raises(click.UsageError):
        run("diff")


def test_history_tells_the_versions_and_the_prices_of_a_card_over_them(tmp_path: Path) -> None:
    customers(tmp_path, "2")
    run("apply", str(tmp_path), "--author", "ann")
    (tmp_path / "p.yaml").write_text(LIST.format(rate="5"))
    run("apply", str(tmp_path), "--author", "bob", "--retroactive")
    customers(tmp_path, "4")
    run("apply", str(tmp_path), "--author", "eve", "--retroactive")
    told = answer("history")["versions"]
    assert [(item["version"], item["author"], item["retroactive"]) for item in told] == [
        (1, "ann", False),
        (2, "bob", True),
        (3, "eve", True),
    ]
    card = answer("history", "--card", "p/m")
    rates = [
        (item["version"], change["old"], change["new"])
        for item in card["versions"]
        for change in item["changes"]
        if change["item"] == "input_tokens"
    ]
    assert rates == [
        (1, None, "1 per 1000000"),
        (2, "1 per 1000000", "5 per 1000000"),
        (3, "5 per 1000000", "1 per 1000000"),
    ]
    assert [item["version"] for item in answer("history", "--card", "list/any")["versions"]] == [1, 3]
    assert "5 per 1000000 -> 1 per 1000000 (-4 per 1000000, -80 %)" in run("history", "--card", "p/m")
    with pytest.raises(BookInvalidError, match="is in no stored version"):
        run("history", "--card", "p/x")


def test_a_faulty_book_is_a_finding_and_is_not_applied(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LIST.format(rate="1") + LIST.partition("cards:")[2].format(rate="2"))
    with pytest.raises(BookError, match="is the id of two cards") as caught:
        run("apply", str(tmp_path))
    assert exit_code(caught.value) == 1
    with pytest.raises(NoBookError):
        run("show")


def test_show_before_any_apply_says_what_to_do() -> None:
    with pytest.raises(NoBookError, match="ratestream book apply") as caught:
        run("show")
    assert caught.value.exit_code == 3


def test_the_shipped_book_is_applied_without_arguments() -> None:
    assert answer("apply", "--author", "test")["version"] == 1
    shown = answer("show")
    assert shown["content"]["contracts"] >= 3
    assert shown["content"]["provider cards"] > 2_000
    (card,) = answer("show", "--card", "openai/gpt-4o")["found"]
    assert card["versions"][0]["valid_to"] == "2026-10-12T00:00:00Z"


def test_an_import_writes_provider_files_and_says_what_it_refused(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices")
    said = run("import", "genai-prices", "--output", str(tmp_path))
    assert "models that it does not have" in said
    assert (tmp_path / "openai.yaml").is_file()
    assert "prices by the time of day" in (tmp_path / "REFUSED.txt").read_text()
    # genai-prices charges the peak price on Saturdays too; our book does not: both stand in the report
    assert "deepseek/deepseek-v4-pro" in (tmp_path / "DIFFERENCE.txt").read_text()


STEP = """
provider: p
currency: USD
cards:
  - card: p/m
    models: [m]
    versions:
      - rates: {{input_tokens: 1, cache_read_tokens: {cached}}}
"""


def test_lint_names_card_line_and_rule_and_ends_in_1(tmp_path: Path) -> None:
    """Reading from a cache at 2 where fresh input costs 1."""
    (tmp_path / "p.yaml").write_text(STEP.format(cached="0.5"))
    assert run("lint", str(tmp_path)) == "remarks: 0\n"
    (tmp_path / "p.yaml").write_text(STEP.format(cached="2"))
    result = CliRunner().invoke(book, ["lint", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.startswith("p/m: since ever")
    assert "[cache_read_above_input]\nremarks: 1\n" in result.output
    told = CliRunner().invoke(book, ["lint", str(tmp_path), "--json"])
    (remark,) = json.loads(told.output)["remarks"]
    assert (told.exit_code, remark["card"], remark["rule"]) == (1, "p/m", "cache_read_above_input")


def test_a_faulty_book_is_not_linted(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(STEP.format(cached="2").replace("cache_read_tokens", "cache_red_tokens"))
    with pytest.raises(BookError, match="is not a known meter"):
        run("lint", str(tmp_path))
