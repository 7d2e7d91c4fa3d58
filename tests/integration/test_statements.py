"""Statements in a real PostgreSQL: what they say, and when a period can be closed."""

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from cli.statement import statement
from ledger.adapters.statement_store import Close, NotClosableError, UnpricedRemainsError, Wanted, compare
from rate_book.instants import parse_instant
from runtime.errors import UsageProblemError
from tests.fix_postgres import PostgresFixture
from tests.statement_world import AUGUST, JO, SEPTEMBER, World, make_world

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(postgres: PostgresFixture) -> World:
    return make_world(postgres.dsn)


def amounts(data: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["kind"], one["amount"]) for one in data["lines"]]


def test_an_open_period_is_shown_as_the_ledger_is(world: World) -> None:
    """0.3 + 0.4004 = 0.7004 less 0.5 is 0.2004; 1.7996 to the minimum of 2; September's 9 are not in it."""
    world.write(
        world.usage("0.3", "2026-08-05T00:00:00Z"),
        world.usage("0.4004", "2026-08-31T23:59:59Z"),
        world.usage("9", "2026-09-01T00:00:00Z"),
        world.usage("7", "2026-08-05T00:00:00Z", customer="other"),
    )
    (data,) = world.show().statements
    assert amounts(data) == [("usage", "0.7004"), ("allowance", "-0.5"), ("minimum", "1.7996")]
    assert (data["total"], data["status"], data["contract"], data["unpriced"]) == (
        "2",
        "open",
        "standard",
        [],
    )
    assert data["lines"][0] == {
        "kind": "usage",
        "plan": "standard",
        "product": "chat",
        "provider": "acme",
        "model": "one",
        "meter": "input_tokens",
        "quantity": "2000",
        "amount": "0.7004",
        "statement": None,
        "period_from": None,
        "period_to": None,
    }


def test_a_closed_period_stays_as_it_was_and_a_late_event_is_on_the_next(world: World) -> None:
    """August: 3 - 0.5 = 2.5. Then 1 comes late: 3.5 is due instead of 2.5, so 1 more on September's
    statement, beside September's own 0.1, whose allowance takes it to 0 and whose minimum is 2.
    """
    world.write(world.usage("3", "2026-08-05T00:00:00Z"))
    answer = world.close()
    (closed,) = answer.statements
    assert (answer.new, closed["number"], closed["total"], closed["through_seq"]) == (True, 1, "2.5", 1)
    world.write(world.usage("0.1", "2026-09-03T00:00:00Z"), world.usage("1", "2026-08-06T00:00:00Z"))
    again = world.show()
    assert again.statements == answer.statements
    assert not world.close().new
    (data,) = world.show(SEPTEMBER).statements
    assert amounts(data) == [("usage", "0.1"), ("allowance", "-0.1"), ("minimum", "2"), ("difference", "1")]
    assert [data["lines"][3][name] for name in ("statement", "period_from", "period_to")] == [
        1,
        "2026-08-01T00:00:00Z",
        "2026-09-01T00:00:00Z",
    ]
    assert data["total"] == "3"
    (next_closed,) = world.close(SEPTEMBER).statements
    assert (next_closed["number"], next_closed["through_seq"], next_closed["total"]) == (2, 3, "3")
    (found,) = compare(world.dsn, AUGUST)
    assert (found["unaltered"], found["since_sum"]) == (True, "1")
    assert amounts({"lines": found["since"]}) == [("difference", "1")]
    assert compare(world.dsn, SEPTEMBER)[0]["since"] == []


def test_a_void_of_a_closed_period_gives_back_what_its_terms_leave(world: World) -> None:
    """August: 3 - 0.5 = 2.5. Voided: 0 of usage and the minimum of 2. September: -3 + 0.5 + 2 = -0.5, and its
    own minimum of 2: 1.5.
    """
    event = world.usage("3", "2026-08-05T00:00:00Z")
    world.write(event)
    world.close()
    world.write(world.made.reversal(event, posted="2026-09-10T00:00:00Z"))
    (data,) = world.show(SEPTEMBER).statements
    told = [(one["kind"], one["amount"], one["statement"]) for one in data["lines"]]
    assert told == [
        ("minimum", "2", None),
        ("difference", "-3", 1),
        ("allowance", "0.5", 1),
        ("minimum", "2", 1),
    ]
    assert data["total"] == "1.5"


def test_unpriced_usage_blocks_until_it_is_priced(world: World) -> None:
    event = world.usage(None, "2026-08-05T00:00:00Z")
    world.write(event, world.usage("3", "2026-08-05T00:00:00Z"))
    with pytest.raises(
        UnpricedRemainsError, match=r"1 events are unpriced.*acme one input_tokens: no card"
    ) as found:
        world.close()
    assert found.value.exit_code == 4
    (data,) = world.show().statements
    assert [(one["status"], one["events"]) for one in data["unpriced"]] == [("unpriced", 1)]
    world.write(world.made.reversal(event, posted="2026-08-20T00:00:00Z"))
    assert world.close().statements[0]["total"] == "2.5"


@pytest.mark.parametrize(
    ("order", "behind", "words"),
    [
        (replace(JO, late_us=10**16), None, "events of the period may come until"),
        (JO, "rated 0 from offset 3 up to 9", "has not taken over what is rated: rated 0 from offset 3"),
    ],
)
def test_a_period_is_not_closed_too_soon(world: World, order: Close, behind: str | None, words: str) -> None:
    world.write(world.usage("3", "2026-08-05T00:00:00Z"))
    with pytest.raises(NotClosableError, match=words) as found:
        world.close(order=order, behind=behind)
    assert found.value.exit_code == 1
    assert world.show().statements[0]["status"] == "open"
    if behind is None:
        assert world.close(order=replace(order, early=True)).statements[0]["early"] is True


def test_a_period_that_has_not_ended_is_not_closed(world: World) -> None:
    with pytest.raises(NotClosableError, match="the period ends at"):
        world.close(Wanted("acme"), replace(JO, early=True))


def test_a_gap_of_the_customer_blocks(world: World) -> None:
    first, _, third = (world.usage("1", f"2026-08-0{day}T00:00:00Z") for day in (1, 2, 3))
    world.write(first, third)
    with pytest.raises(NotClosableError, match="sequence 2 is not in the ledger"):
        world.close()


def test_periods_are_closed_in_order(world: World) -> None:
    """An earlier period with usage is closed first; then each that has a contract, also one without usage."""
    world.write(world.usage("1", "2026-07-05T00:00:00Z"), world.usage("1", "2026-09-05T00:00:00Z"))
    with pytest.raises(NotClosableError, match="an earlier period is open: --at 2026-07-01"):
        world.close(SEPTEMBER)
    world.close(Wanted("acme", at_us=parse_instant("2026-07-31T00:00:00Z")))
    with pytest.raises(NotClosableError, match="an earlier period is open: --at 2026-08-01"):
        world.close(SEPTEMBER)
    (august,) = world.close().statements
    assert (august["number"], amounts(august), august["total"]) == (2, [("minimum", "2")], "2")
    assert world.close(SEPTEMBER).statements[0]["number"] == 3


def test_each_currency_has_its_own_statement_and_number(world: World) -> None:
    world.write(
        world.usage("3", "2026-08-05T00:00:00Z"), world.usage("40.4", "2026-08-05T00:00:00Z", currency="JPY")
    )
    usd_, jpy = world.close().statements
    assert (usd_["number"], usd_["currency"], usd_["total"]) == (1, "USD", "2.5")
    assert (jpy["number"], jpy["currency"], jpy["total"], jpy["terms"]) == (2, "JPY", "40", None)
    assert amounts(jpy) == [("usage", "40.4"), ("rounding", "-0.4")]
    assert world.show().statements == [usd_, jpy]


def test_the_command_shows_json_csv_and_text(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(world.usage("3.0051", "2026-08-05T00:00:00Z"))
    world.close()
    monkeypatch.setenv("RATESTREAM_POSTGRES__DSN", world.dsn)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(
            statement, ["acme", "--period", "2026-08", *arguments], standalone_mode=False
        )
        assert result.exception is None, result.exception
        assert result.return_value == 0
        return result.output

    assert json.loads(run("--json"))["statements"][0]["total"] == "2.51"
    assert (
        run("--csv")
        .splitlines()[1]
        .startswith("acme,USD,1,usage,standard,chat,acme,one,input_tokens,1000,3.0051")
    )
    text = run()
    assert "acme, 2026-08-01T00:00:00Z to 2026-09-01T00:00:00Z, USD: statement 1" in text
    assert text.splitlines()[-1].split() == ["total", "2.51", "USD"]
    assert "nothing came since" in run("--compare")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--period", "2026-08", "--at", "2026-08-01T00:00:00Z"],
        ["--close"],
        ["--close", "--author", "jo"],
        ["--early"],
        ["--json", "--csv"],
        ["--compare", "--close", "--author", "jo", "--reason", "x"],
    ],
)
def test_contradictory_options_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(statement, ["acme", *arguments]).exit_code == 2


def test_an_instant_whose_period_has_no_end_is_refused() -> None:
    refused = CliRunner().invoke(statement, ["acme", "--at", "9999-12-31T00:00:00Z"])
    assert isinstance(refused.exception, UsageProblemError)
    assert "must be before 9999-01-01" in str(refused.exception)
