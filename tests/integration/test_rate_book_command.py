"""`ratestream book` against a real PostgreSQL."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.__main__ import exit_code
from cli.book import book
from pricing.errors import BookError
from rate_book.errors import BookInvalidError, ChangeTooSoonError, NoBookError
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
    assert shown["content"]["contracts"] == 3
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
