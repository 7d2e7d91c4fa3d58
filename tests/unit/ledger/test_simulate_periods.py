"""book simulate where the draft sells prices over a period: whole periods, filled event by event."""

from cli.book_simulate import describe
from ledger.core.simulate import Simulation, Span
from pricing.cards import PoolVersion, Tier
from pricing.money import ATTO
from tests.unit.ledger.drafts import (
    DAY_US,
    DEC_1_US,
    NOV_1_US,
    NOV_10_US,
    add,
    draft_of,
    pooled,
    record,
    sums,
)

TIERS = PoolVersion("graduated", (Tier("0", "2", "1000"), Tier("1000", "1", "1000")))


def test_with_a_period_price_whole_billing_periods_are_compared() -> None:
    """Asked for 10 November: the calendar month is compared, and the answer names it."""
    draft = draft_of(pooled(TIERS), NOV_10_US, NOV_10_US + DAY_US)
    assert draft.span("c") == Span(NOV_1_US, DEC_1_US, whole=True)
    simulation = Simulation(NOV_10_US, NOV_10_US + DAY_US, 5)
    add(simulation, draft, record(1, "0", "0"), "100")
    assert simulation.as_json()["whole_periods"] == [
        {"customer": "c", "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
    ]
    assert "whole billing periods: c, 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z" in describe(simulation, 5)
    assert draft_of(pooled(TIERS)).span("c").whole is False


def test_the_draft_fills_its_periods_event_by_event() -> None:
    """600 + 600 units: 600 x 2 / 1000 = 1.2; then 400 x 2 / 1000 + 200 x 1 / 1000 = 1; another month: 1.2."""
    simulation, draft = (
        Simulation(NOV_1_US, DEC_1_US + DAY_US, 5),
        draft_of(pooled(TIERS), to_us=DEC_1_US + DAY_US),
    )
    for number, at_us in enumerate((NOV_10_US, NOV_10_US, DEC_1_US)):
        add(simulation, draft, record(number, "0", "0", event_time_us=at_us), "600")
    assert sums(simulation.as_json()["total"])["price USD"] == ("0", "3.4", "3.4")
    drafts = {changed.event_id: changed.draft["price"].amount_atto for changed in simulation.top}
    assert drafts == {"e-0": 1_200_000_000_000_000_000, "e-1": ATTO, "e-2": 1_200_000_000_000_000_000}


def test_where_records_are_gone_a_period_goes_on_from_its_recorded_quantity() -> None:
    """900 units recorded before: 100 x 2 / 1000 + 500 x 1 / 1000 = 0.7. Told again, it changes nothing."""
    draft = draft_of(pooled(TIERS))
    draft.begin("c", {("list/tokens", NOV_1_US): 900 * ATTO, ("gone/pool", NOV_1_US): ATTO}, NOV_10_US)
    simulation = Simulation(NOV_1_US, DEC_1_US, 5)
    add(simulation, draft, record(1, "0", "0"), "600")
    draft.begin("c", {("list/tokens", NOV_1_US): 5 * ATTO}, NOV_10_US)
    add(simulation, draft, record(2, "0", "0"), "1000")
    drafts = [changed.draft["price"].amount_atto for changed in simulation.top]
    assert drafts == [ATTO, 7 * ATTO // 10]
