"""Statements: lines that sum to the total, by hand."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from ledger.core.amounts import atto, plain
from ledger.core.statement import (
    NO_TERMS,
    ClosedPeriod,
    Draft,
    Facts,
    Known,
    Line,
    Sum,
    Terms,
    charges,
    currencies,
    draft,
    unpriced,
)
from ledger.core.statement_text import COLUMNS, canonical, csv_text, statement_data, terms_data, terms_of

OCTOBER, NOVEMBER, DECEMBER, JANUARY = 10, 11, 12, 13  # starts of periods


def used(
    amount: str | None,
    *,
    at: int = NOVEMBER,
    meter: str = "input_tokens",
    quantity: str | None = "1000",
    currency: str | None = "USD",
    events: int = 1,
    status: str = "priced",
    model: str = "one",
    reason: str | None = None,
) -> Sum:
    return Sum(
        at,
        "standard",
        "chat",
        "acme",
        model,
        meter,
        status,
        currency if amount is not None else None,
        reason,
        events,
        None if quantity is None else atto(quantity),
        None if amount is None else atto(amount),
    )


def terms(allowance: str | None = None, commitment: str | None = None, minimum: str | None = None) -> Terms:
    return Terms(*(None if text is None else atto(text) for text in (allowance, commitment, minimum)))


def facts(
    *sums: Sum,
    given: Terms = NO_TERMS,
    currency: str = "USD",
    main: bool = True,
    places: int | None = 2,
    closed: Sequence[ClosedPeriod] = (),
    known: Sequence[Known] = (),
) -> Facts:
    return Facts(NOVEMBER, DECEMBER, currency, main, places, given, sums, closed, known)


def told(made: Draft) -> list[tuple[str, str | None]]:
    return [(line.kind, None if line.amount is None else plain(line.amount)) for line in made.lines]


def test_usage_is_a_line_for_each_plan_product_model_and_meter() -> None:
    """Two sums of input tokens are one line, 1000 + 500 for 3 + 1.5; other meters and models stand apart."""
    made = draft(
        facts(
            used("3"),
            used("1.5", quantity="500"),
            used("15", meter="output_tokens"),
            used("2", model="two", quantity="10"),
        )
    )
    usage = ("standard", "chat", "acme")
    assert made.lines == (
        Line("usage", atto("4.5"), *usage, "one", "input_tokens", atto("1500")),
        Line("usage", atto("15"), *usage, "one", "output_tokens", atto("1000")),
        Line("usage", atto("2"), *usage, "two", "input_tokens", atto("10")),
    )
    assert (made.exact, made.total) == (atto("21.5"), atto("21.5"))


def test_a_record_and_its_reversal_leave_no_line() -> None:
    made = draft(facts(used("3"), used("-3", quantity="-1000", events=-1), used("2", model="two")))
    assert [line.model for line in made.lines] == ["two"]


def test_what_tiers_add_after_a_correction_is_a_line_of_its_own() -> None:
    """A volume price falls back: 10 for the rest, and 4 more since the quantity is below the tier again."""
    made = draft(facts(used("10"), used("4", meter="tier_adjustment", quantity=None)))
    assert told(made) == [("usage", "10"), ("tier", "4")]
    assert made.lines[1].quantity is None


def test_what_the_query_pays_for_is_a_line_without_amount() -> None:
    """The calls are included, their query costs 0.05."""
    made = draft(facts(used(None, status="included"), used("0.05", meter="queries", quantity="1")))
    assert told(made) == [("usage", None), ("usage", "0.05")]
    assert made.total == atto("0.05")


@pytest.mark.parametrize(
    ("usage", "lines", "total"),
    [
        # The allowance is credited up to the usage: below, at, above 50.
        ("30", [("allowance", "-30")], "0"),
        ("50", [("allowance", "-50")], "0"),
        ("80", [("allowance", "-50")], "30"),
        ("0", [], "0"),
        ("-5", [], "-5"),
    ],
)
def test_an_allowance_is_credited_at_most_up_to_the_usage(
    usage: str, lines: list[tuple[str, str]], total: str
) -> None:
    made = draft(facts(used(usage), given=terms(allowance="50")))
    assert told(made) == [("usage", usage), *lines]
    assert made.total == atto(total)


@pytest.mark.parametrize("term", ["minimum", "commitment"])
@pytest.mark.parametrize(
    ("usage", "shortfall", "total"),
    [("99.99", "0.01", "100"), ("100", None, "100"), ("100.01", None, "100.01")],
)
def test_a_minimum_and_a_commitment_are_filled_up(
    term: str, usage: str, shortfall: str | None, total: str
) -> None:
    made = draft(facts(used(usage), given=terms(**{term: "100"})))
    assert told(made) == [("usage", usage)] + ([(term, shortfall)] if shortfall else [])
    assert made.total == atto(total)


@pytest.mark.parametrize(
    ("usage", "lines", "total"),
    [
        # allowance 30, commitment 100, minimum 90.
        # 80 - 30 + (100 - 80) = 70, and 20 more to the minimum.
        ("80", {"allowance": "-30", "commitment": "20", "minimum": "20"}, "90"),
        # 0: nothing to credit; 100 of the commitment is above the minimum.
        ("0", {"commitment": "100"}, "100"),
        # 100 - 30 = 70: the usage meets the commitment, the allowance takes nothing of that.
        ("100", {"allowance": "-30", "minimum": "20"}, "90"),
        # 120 - 30 = 90: exactly the minimum.
        ("120", {"allowance": "-30"}, "90"),
        ("150", {"allowance": "-30"}, "120"),
    ],
)
def test_allowance_then_commitment_then_minimum(usage: str, lines: dict[str, str], total: str) -> None:
    """The commitment is of the usage before the allowance; the minimum of what is due after both."""
    given = terms("30", "100", "90")
    assert {kind: plain(amount) for kind, amount in charges(given, atto(usage)).items()} == lines
    assert draft(facts(used(usage), given=given)).total == atto(total)


def test_a_period_without_usage_owes_its_terms() -> None:
    made = draft(facts(given=terms(minimum="200")))
    assert told(made) == [("minimum", "200")]


@pytest.mark.parametrize(
    ("currency", "places", "usage", "rounding", "total"),
    [
        ("USD", 2, "1.005", "-0.005", "1"),  # a tie goes to the even digit: 1.00
        ("USD", 2, "1.015", "0.005", "1.02"),
        ("USD", 2, "-1.005", "0.005", "-1"),
        ("USD", 2, "1.0050001", "0.0049999", "1.01"),
        ("USD", 2, "1.01", None, "1.01"),
        ("JPY", 0, "0.5", "-0.5", "0"),
        ("JPY", 0, "1.5", "0.5", "2"),
        ("JPY", 0, "2.5", "-0.5", "2"),
        ("KWD", 3, "0.0005", "-0.0005", "0"),
        ("KWD", 3, "0.0015", "0.0005", "0.002"),
        ("CREDIT", None, "1.000000000000000005", None, "1.000000000000000005"),
    ],
)
def test_only_the_total_is_rounded_half_to_even_and_the_lines_still_sum_to_it(
    currency: str, places: int | None, usage: str, rounding: str | None, total: str
) -> None:
    made = draft(facts(used(usage, currency=currency), currency=currency, places=places))
    assert told(made) == [("usage", usage)] + ([("rounding", rounding)] if rounding else [])
    assert (plain(made.exact), plain(made.total)) == (usage, total)
    assert sum(Decimal(plain(line.amount or 0)) for line in made.lines) == Decimal(total)


def test_each_currency_has_a_statement_and_the_contracts_has_what_has_no_amount() -> None:
    sums = (used("3"), used("2", currency="EUR", model="two"), used(None, status="included", model="free"))
    assert currencies("USD", sums) == ["USD", "EUR"]
    assert currencies(None, sums) == ["EUR", "USD"]
    assert currencies("JPY", ()) == ["JPY"]
    usd = draft(facts(*sums, given=terms(minimum="10")))
    eur = draft(facts(*sums, currency="EUR", main=False))
    assert told(usd) == [("usage", None), ("usage", "3"), ("minimum", "7")]
    assert told(eur) == [("usage", "2")]


CLOSED = (
    ClosedPeriod(1, OCTOBER, NOVEMBER, "USD", terms("10", None, "100")),
    ClosedPeriod(2, OCTOBER, NOVEMBER, "EUR", NO_TERMS),
)


def test_what_came_late_is_a_difference_that_names_the_closed_statement() -> None:
    """October had 80, less 10, and 30 to its minimum of 100. 5 more leave 25 of those 30: nothing is due."""
    late = used("5", at=OCTOBER)
    made = draft(facts(used("3"), late, closed=CLOSED, known=[Known(OCTOBER, "USD", atto("80"))]))
    assert told(made) == [("usage", "3"), ("difference", "5"), ("minimum", "-5")]
    assert {(line.statement, line.period) for line in made.lines[1:]} == {(1, (OCTOBER, NOVEMBER))}
    assert (made.lines[0].statement, made.lines[0].period) == (None, None)
    assert made.total == atto("3")


@pytest.mark.parametrize(
    ("before", "change", "lines"),
    [
        # allowance 10, minimum 100: due = max(100, U - min(10, U))
        ("105", "10", [("minimum", "-5")]),  # 95 + 5 before, 105 now: 5 more to pay
        ("110", "10", []),  # 100 before, 110 now
        ("115", "-10", [("minimum", "5")]),  # 105 before, 95 + 5 now
        ("5", "3", [("allowance", "-3")]),  # 0 + 100 before, 0 + 100 now: the 3 are credited
        ("200", "-200", [("allowance", "10"), ("minimum", "100")]),  # voided: 190 before, 100 now
    ],
)
def test_a_closed_periods_terms_follow_its_usage(
    before: str, change: str, lines: list[tuple[str, str]]
) -> None:
    late = used(change, at=OCTOBER)
    made = draft(facts(late, closed=CLOSED, known=[Known(OCTOBER, "USD", atto(before))]))
    assert told(made) == [("difference", change), *lines]

    def due(usage: Decimal) -> Decimal:
        return max(Decimal(100), usage - min(Decimal(10), max(usage, Decimal(0))))

    assert Decimal(plain(made.total)) == due(Decimal(before) + Decimal(change)) - due(Decimal(before))


def test_differences_do_not_count_for_this_periods_terms() -> None:
    """100 came late to October; November's own 30 lack 20 of its minimum of 50."""
    made = draft(facts(used("30"), used("100", at=OCTOBER), given=terms(minimum="50"), closed=CLOSED[1:]))
    assert told(made) == [("usage", "30"), ("minimum", "20"), ("difference", "100")]
    assert made.lines[-1].statement == 2  # the period's only one, though in another currency


def test_what_is_older_than_the_first_statement_names_none() -> None:
    made = draft(facts(used("7", at=1), closed=CLOSED))
    assert [(line.kind, line.statement) for line in made.lines] == [("difference", None)]


def test_unpriced_usage_is_told_until_it_is_reversed() -> None:
    open_ = used(None, status="unpriced", reason="no card")
    part = used("1", status="partial", meter="images", reason="no rate", model="two")
    found = unpriced([open_, part, used("3")])
    assert [(one.status, one.model, one.meter, one.reason, one.events) for one in found] == [
        ("unpriced", "one", "input_tokens", "no card", 1),
        ("partial", "two", "images", "no rate", 1),
    ]
    assert unpriced([open_, open_._replace(events=-1, quantity=-atto("1000"))]) == []


def test_a_statement_as_json_and_csv_is_exact() -> None:
    given = terms(allowance="0.5")
    asked = Facts(
        1_767_225_600_000_000, 1_769_904_000_000_000, "USD", True, 2, given, (used("1.0051", at=2**61),)
    )
    data = statement_data("acme", asked, draft(asked), number=4)
    assert data["period"] == {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    assert (data["sum"], data["total"], data["number"]) == ("0.5051", "0.51", 4)
    assert [(line["kind"], line["quantity"], line["amount"]) for line in data["lines"]] == [
        ("usage", "1000", "1.0051"),
        ("allowance", None, "-0.5"),
        ("rounding", None, "0.0049"),
    ]
    assert csv_text([data]).splitlines() == [
        "customer,currency,number," + ",".join(COLUMNS),
        "acme,USD,4,usage,standard,chat,acme,one,input_tokens,1000,1.0051,,,",
        "acme,USD,4,allowance,,,,,,,-0.5,,,",
        "acme,USD,4,rounding,,,,,,,0.0049,,,",
        "acme,USD,4,total,,,,,,,0.51,,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z",
    ]
    assert canonical({"b": "\u00e9", "a": 1}) == '{"a":1,"b":"\u00e9"}'
    assert terms_of(terms_data(given)) == given
    assert terms_of(None) == NO_TERMS
