"""Which billing period is meant, and what stands against closing it."""

import pytest

from ledger.core.statement_period import Period, PeriodError, Periods, State, against_closing
from pricing.cards import Assignment, BookContent, Contract
from pricing.compile import compile_book
from rate_book.instants import parse_instant

DAY = 86_400_000_000


def us(text: str) -> int:
    return parse_instant(f"{text}T00:00:00Z" if "T" not in text else text)


MONTHLY = Contract("monthly", "USD", (), minimum="10")
MIDDLE = Contract("middle", "EUR", (), "month", 15, "+02:00")
WEEKLY = Contract("weekly", "USD", (), "week")
QUARTERLY = Contract("quarterly", "USD", (), "quarter")


def periods(*assignments: Assignment) -> Periods:
    content = BookContent(contracts=(MONTHLY, MIDDLE, WEEKLY, QUARTERLY), assignments=assignments)
    return Periods(compile_book(content, 1, "00"), assignments, "acme")


def test_a_month_names_the_period_that_begins_in_it() -> None:
    """Midnight of the 15th two hours east of UTC is 22:00 of the 14th."""
    found = periods(Assignment("*", "middle"))
    period = found.at(found.named("2026-11"))
    assert period == Period(us("2026-11-14T22:00:00Z"), us("2026-12-14T22:00:00Z"), MIDDLE)
    assert found.at(us("2026-11-10")).start_us == us("2026-10-14T22:00:00Z")


def test_the_month_is_one_of_the_contracts_time_zone() -> None:
    early = Contract("early", "USD", (), "month", 1, "+02:00")
    content = BookContent(contracts=(early,), assignments=(Assignment("*", "early"),))
    found = Periods(compile_book(content, 1, "00"), content.assignments, "acme")
    assert found.named("2026-11") == us("2026-10-31T22:00:00Z")


def test_a_month_in_which_several_periods_begin_names_none() -> None:
    found = periods(Assignment("*", "weekly"))
    with pytest.raises(PeriodError, match="billing periods begin at 2026-11-02T00:00:00Z, 2026-11-09"):
        found.named("2026-11")


def test_a_month_in_which_none_begins_names_the_one_that_goes_on() -> None:
    found = periods(Assignment("*", "quarterly"))
    assert found.at(found.named("2026-11"))[:2] == (us("2026-10-01"), us("2027-01-01"))


@pytest.mark.parametrize("text", ["2026-13", "2026", "2026-11-01", "november", "0000-01", "9999-12"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(PeriodError, match="must be a month"):
        periods(Assignment("*", "monthly")).named(text)


def test_time_without_a_contract_ends_where_one_begins() -> None:
    found = periods(Assignment("acme", "monthly", us("2026-11-10")), Assignment("other", "weekly"))
    assert found.at(us("2026-11-05")) == Period(us("2026-11-01"), us("2026-11-10"), None)
    assert found.at(us("2026-11-10")) == Period(us("2026-11-10"), us("2026-12-01"), MONTHLY)
    assert found.named("2026-11") == us("2026-11-10")  # what is sold, rather than what is not


def test_a_change_of_contract_ends_a_period() -> None:
    found = periods(
        Assignment("acme", "monthly", None, us("2026-11-20")), Assignment("acme", "middle", us("2026-11-20"))
    )
    assert found.at(us("2026-11-01")) == Period(us("2026-11-01"), us("2026-11-20"), MONTHLY)
    assert found.at(us("2026-11-20"))[2] == MIDDLE
    with pytest.raises(PeriodError, match="2026-11-01T00:00:00Z, 2026-11-20T00:00:00Z"):
        found.named("2026-11")


def test_the_period_after_a_closed_one_begins_where_that_ended() -> None:
    found = periods(Assignment("*", "monthly"))
    assert found.at(us("2026-11-20"), us("2026-11-15"))[:2] == (us("2026-11-15"), us("2026-12-01"))
    assert found.at(us("2026-11-10"), us("2026-11-15"))[0] == us("2026-11-01")


PERIOD = Period(us("2026-11-01"), us("2026-12-01"), MONTHLY)
CLEAR = State(us("2027-01-05"), 35 * DAY, False, None, None, PERIOD.start_us, None)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (CLEAR, []),  # 35 days after the end, exactly
        (CLEAR._replace(now_us=CLEAR.now_us - 1), ["may come until 2027-01-05T00:00:00Z"]),
        (CLEAR._replace(now_us=PERIOD.end_us, early=True), []),
        (CLEAR._replace(now_us=PERIOD.end_us - 1, early=True), ["the period ends at 2026-12-01T00:00:00Z"]),
        (CLEAR._replace(gap_seq=7), ["sequence 7"]),
        (CLEAR._replace(behind="usage.rated 3 from offset 5 up to 9"), ["usage.rated 3"]),
        (CLEAR._replace(previous_end_us=PERIOD.start_us + 1), ["begins before 2026-11-01T00:00:00.000001Z"]),
        (CLEAR._replace(owed_us=us("2026-10-01")), ["--at 2026-10-01T00:00:00Z"]),
        (CLEAR._replace(gap_seq=7, owed_us=1), ["an earlier period", "sequence 7"]),
    ],
)
def test_what_must_happen_before_a_period_is_closed(state: State, words: list[str]) -> None:
    found = against_closing(PERIOD, state)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))
