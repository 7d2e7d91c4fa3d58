"""What `ratestream totals` shows."""

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

import cli.totals
from aggregator.adapters.totals_reader import Held, Look
from cli.totals import totals
from runtime.errors import FindingError, UsageProblemError

HOUR_US = 3_600_000_000
NOON_US = 1_795_003_200_000_000  # 2026-11-18T12:00:00Z


def entry(window: str, start_us: int, end_us: int | None, **fields: Any) -> dict[str, Any]:
    return {
        "window": window,
        "start_us": start_us,
        "end_us": end_us,
        "scope": {},
        "cost_currency": "USD",
        "price_currency": "EUR",
        "cost": "0.5",
        "price": "12.25",
        "events": 3,
        "unpriced_cost_events": 0,
        "unpriced_price_events": 0,
        "quantities": {},
    } | fields


ENTRIES = [
    entry("lifetime", 0, None, scope={"feature": "chat"}, cost="-1", price=None, price_currency=None),
    entry("lifetime", 0, None),
    entry("hour", NOON_US - HOUR_US, NOON_US),
    entry("hour", NOON_US, NOON_US + HOUR_US, unpriced_price_events=2),
]
HELD = Held(7, NOON_US, "Europe/Berlin", "abc", ENTRIES, 1_400)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command's output for what PostgreSQL is said to have."""

    def show(look: Look, *arguments: str) -> str:
        monkeypatch.setattr(cli.totals, "dsn", lambda: "")
        monkeypatch.setattr(cli.totals, "look", lambda _dsn, _customer: look)
        done = CliRunner().invoke(totals, ["acme", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    return show


def test_a_table_of_windows_by_scope_the_newest_first(shown: Any) -> None:
    assert shown(Look(HELD, 7, 7, None)) == (
        "acme: as of sequence 7, 2026-11-18T12:00:00Z; written 1 s ago; zone Europe/Berlin\n"
        "the ledger is at the same sequence\n"
        "\n"
        "window    from                       until                      scope            cost      price"
        "  events  unpriced cost  unpriced price\n"
        "hour      2026-11-18T13:00:00+01:00  2026-11-18T14:00:00+01:00  (customer)    0.5 USD  12.25 EUR"
        "       3                              2\n"
        "hour      2026-11-18T12:00:00+01:00  2026-11-18T13:00:00+01:00  (customer)    0.5 USD  12.25 EUR"
        "       3\n"
        "lifetime                                                        (customer)    0.5 USD  12.25 EUR"
        "       3\n"
        "lifetime                                                        feature=chat   -1 USD          -"
        "       3\n"
    )


@pytest.mark.parametrize(
    ("seq", "last", "text"),
    [
        (9, 9, "the ledger is at sequence 9: 2 ahead"),
        (4, 4, "the ledger is at sequence 4: 3 behind"),
        (7, 9, "the ledger is at the same sequence, and lacks sequence 8 although it has later ones"),
        (None, None, "the ledger does not know the customer yet"),
    ],
)
def test_how_far_the_ledger_is(shown: Any, seq: int | None, last: int | None, text: str) -> None:
    assert shown(Look(HELD, seq, last, None)).splitlines()[1] == text


def test_a_repair_that_was_asked_for_is_told(shown: Any) -> None:
    assert "to be built anew, as was asked for: drift" in shown(Look(HELD, 7, 7, "drift"))


def test_one_scope_and_one_window(shown: Any) -> None:
    lines = shown(Look(HELD, 7, 7, None), "--scope", "feature=chat", "--window", "lifetime").splitlines()
    assert [line.split()[1:] for line in lines[4:]] == [["feature=chat", "-1", "USD", "-", "3"]]
    assert "no such entry" in shown(Look(HELD, 7, 7, None), "--window", "week")


def test_json_is_one_exact_line(shown: Any) -> None:
    told = json.loads(shown(Look(HELD, 9, 9, "drift"), "--json", "--window", "hour"))
    assert told == {
        "customer_id": "acme",
        "as_of_seq": 7,
        "as_of": "2026-11-18T12:00:00Z",
        "written_ms_ago": 1_400,
        "zone": "Europe/Berlin",
        "ledger_seq": 9,
        "repair_requested": "drift",
        "entries": [ENTRIES[3], ENTRIES[2]],
    }


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (Look(None, None, None, None), "the ledger does not know it"),
        (Look(None, 5, 5, None), "is the aggregator running"),
        (Look(None, 5, 5, "drift"), "as was asked for: drift"),
    ],
)
def test_no_totals_are_a_finding_that_says_why(shown: Any, look: Look, text: str) -> None:
    with pytest.raises(FindingError, match=text):
        shown(look)


@pytest.mark.parametrize("pair", ["feature", "=chat"])
def test_a_scope_is_name_and_value(shown: Any, pair: str) -> None:
    with pytest.raises(UsageProblemError, match="must be NAME=VALUE"):
        shown(Look(HELD, 7, 7, None), "--scope", pair)


def test_watching_looks_again_and_waits_for_what_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [
        Look(None, None, None, None),
        Look(HELD, 7, 7, None),
        Look(replace(HELD, as_of_seq=8), 8, 8, None),
    ]

    def sleep(seconds: float) -> None:
        assert seconds == 1.0
        if not looks:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.totals, "dsn", lambda: "")
    monkeypatch.setattr(cli.totals, "look", lambda _dsn, _customer: looks.pop(0))
    monkeypatch.setattr("cli.totals.time.sleep", sleep)
    done = CliRunner().invoke(totals, ["acme", "--watch"])
    assert done.exit_code == 1  # Ctrl-C, as click tells it
    for text in ("the ledger does not know it", "as of sequence 7", "as of sequence 8"):
        assert text in done.output
