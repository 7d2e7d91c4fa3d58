"""What the guard makes of totals: each case with amounts by hand."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from budget_guard.core.evaluate import evaluate
from budget_guard.core.firings import NOTHING, STALE, Decision, Firing, FiringKey
from pricing.budgets import BudgetBook, Route
from pricing.money import ATTO
from tests.unit.budget_guard.guard_world import CUSTOMER, HOUR_US, book, entry, limited, totals

NOW_US = 1 * HOUR_US
CHAT = (("feature", "chat"),)


def never(_seq: int) -> bool:
    return False


def always(_seq: int) -> bool:
    return True


def unasked(_seq: int) -> bool:
    raise AssertionError("the ledger is asked without need")


def kept(*groups: Iterable[Firing]) -> dict[FiringKey, Firing]:
    return {one.key: one for group in groups for one in group}


def test_below_every_threshold_nothing_happens_and_nobody_is_asked() -> None:
    decision = evaluate(totals(1, entry(79)), book(limited()), {}, unasked, NOW_US)
    assert decision is NOTHING


def test_a_threshold_is_crossed_at_its_very_amount() -> None:
    decision = evaluate(totals(7, entry(80)), book(limited(), version=3), {}, unasked, NOW_US, seen_seq=4)
    (alert,) = decision.alerts
    (firing,) = decision.firings
    assert (alert.kind, alert.threshold, alert.amount_atto, alert.share) == (
        "threshold", "80", 80 * ATTO, "80.00",
    )  # fmt: skip
    assert (alert.first_seq, alert.last_seq, alert.episode, alert.budget_version) == (4, 7, 1, 3)
    assert alert.alert_id == firing.alert_id
    assert (len(alert.alert_id), alert.alert_id[:4]) == (30, "alr_")
    assert alert.channels == ("oncall",)
    assert alert.text == (
        "acme: price of the billing period from 1970-01-01T00:00:00Z is 80 USD, 80.00 % of 100 USD;"
        " budget b, threshold 80"
    )
    assert alert.look_closer == (
        "ratestream usage --customer acme --by feature,model --from 1970-01-01T00:00:00Z"
        " --to 1970-01-01T10:00:00Z"
    )
    (state,) = decision.states
    assert (state.state, state.valid_until_us, state.as_of_seq) == ("soft", 10 * HOUR_US, 7)
    assert decision.next_us == 10 * HOUR_US


def test_a_jump_over_two_thresholds_is_two_alerts_and_the_worse_state() -> None:
    decision = evaluate(totals(1, entry(130)), book(limited()), {}, unasked, NOW_US)
    assert [alert.threshold for alert in decision.alerts] == ["80", "100"]
    assert [alert.share for alert in decision.alerts] == ["130.00", "130.00"]
    assert [state.state for state in decision.states] == ["hard"]


def test_what_fired_does_not_fire_again_whoever_asks() -> None:
    first = evaluate(totals(1, entry(80)), book(limited()), {}, unasked, NOW_US)
    again = evaluate(
        totals(2, entry(90)), book(limited()), kept(first.firings), unasked, NOW_US,
        published={"": first.states[0]},
    )  # fmt: skip
    assert (again.alerts, again.firings, again.states) == ((), (), ())
    redelivered = evaluate(totals(1, entry(80)), book(limited()), {}, unasked, NOW_US)
    assert redelivered.firings == first.firings


def test_a_money_budget_sums_its_currency_over_entries_and_no_other() -> None:
    euros = entry(500, currency="EUR")
    two = ((("period", 0, (), "EUR", "USD"), entry(40)[1]), entry(40))
    decision = evaluate(totals(1, euros, *two), book(limited()), {}, unasked, NOW_US)
    assert [(alert.kind, alert.amount_atto) for alert in decision.alerts] == [
        ("threshold", 80 * ATTO),
        ("uncovered_currency", 500 * ATTO),
    ]


def test_measures() -> None:
    budgets = book(
        limited("cost", measure="cost", at=((5, "none"),)),
        limited("events", measure="events", currency=None, at=((3, "none"),)),
        limited("tokens", measure="quantity:output_tokens", currency=None, at=((1000, "none"),)),
    )
    below = evaluate(totals(1, entry(0, cost=4, events=2, output_tokens=999)), budgets, {}, unasked, NOW_US)
    assert below is NOTHING
    at = evaluate(totals(1, entry(0, cost=5, events=3, output_tokens=1000)), budgets, {}, unasked, NOW_US)
    assert [alert.budget_id for alert in at.alerts] == ["cost", "events", "tokens"]
    assert "number of events of the billing period from 1970-01-01T00:00:00Z is 3 events" in at.alerts[1].text
    assert (
        "quantity of the billing period from 1970-01-01T00:00:00Z is 1000 output_tokens" in at.alerts[2].text
    )
    assert at.states == ()


def test_a_scope_is_compared_alone() -> None:
    budgets = book(limited(scope=CHAT))
    decision = evaluate(totals(1, entry(900), entry(80, scope=CHAT)), budgets, {}, unasked, NOW_US)
    assert [(alert.scope, alert.amount_atto) for alert in decision.alerts] == [(CHAT, 80 * ATTO)]
    assert [state.scope for state in decision.states] == [CHAT]
    assert "--where feature=chat" in decision.alerts[0].look_closer


def fired(seq: int = 5) -> Decision:
    return evaluate(totals(seq, entry(80)), book(limited()), {}, unasked, NOW_US)


def test_a_fall_without_a_correction_takes_nothing_back_and_waits() -> None:
    first = fired()
    state = {"": first.states[0]}
    decision = evaluate(
        totals(6, entry(70)), book(limited()), kept(first.firings), never, NOW_US, published=state
    )
    assert (decision.alerts, decision.states) == ((), ())
    assert decision.awaiting == (first.firings[0].key,)


def test_a_correction_takes_it_back_and_opens_the_next_episode() -> None:
    first = fired()
    back = evaluate(
        totals(6, entry(79)), book(limited()), kept(first.firings), always, NOW_US,
        published={"": first.states[0]},
    )  # fmt: skip
    (alert,) = back.alerts
    assert (alert.kind, alert.severity, alert.retracts) == ("retraction", "info", first.alerts[0].alert_id)
    assert (alert.first_seq, alert.last_seq, alert.channels) == (5, 6, ("oncall",))
    assert alert.alert_id != first.alerts[0].alert_id
    assert [state.state for state in back.states] == ["ok"]
    assert (back.retracted[0].retracted_alert_id, back.retracted[0].retracted_seq) == (alert.alert_id, 6)
    after = kept(first.firings, back.retracted)
    assert evaluate(totals(6, entry(79)), book(limited()), after, unasked, NOW_US) is NOTHING
    next_one = evaluate(totals(7, entry(81)), book(limited()), after, unasked, NOW_US)
    assert next_one.alerts[0].episode == 2
    assert next_one.alerts[0].alert_id not in {first.alerts[0].alert_id, alert.alert_id}


def test_older_totals_are_stale_whoever_saw_the_newer_ones() -> None:
    first = fired(5)
    back = evaluate(totals(8, entry(1)), book(limited()), kept(first.firings), always, NOW_US)
    after = kept(first.firings, back.retracted)
    assert evaluate(totals(7, entry(90)), book(limited()), after, always, NOW_US) is STALE
    assert evaluate(totals(4, entry(1)), book(limited()), kept(first.firings), always, NOW_US) is STALE
    assert evaluate(totals(4, entry(90)), book(limited()), {}, always, NOW_US, seen_seq=5) is STALE
    published = {"": first.states[0]}
    assert evaluate(totals(4, entry(90)), book(limited()), {}, always, NOW_US, published=published) is STALE


def test_a_correction_before_the_crossing_takes_nothing_back() -> None:
    """Totals of the very sequence that fired cannot have a later correction in them."""
    first = fired(5)
    decision = evaluate(totals(5, entry(10)), book(limited()), kept(first.firings), always, NOW_US)
    assert decision.alerts == ()


def test_a_new_version_inherits_an_amount_and_fires_a_lower_one() -> None:
    first = fired()
    same = evaluate(totals(6, entry(85)), book(limited(), version=2), kept(first.firings), unasked, NOW_US)
    assert same.alerts == ()
    lower = limited(at=((60, "none"), (80, "soft")))
    decision = evaluate(totals(6, entry(85)), book(lower, version=2), kept(first.firings), unasked, NOW_US)
    assert [(alert.threshold, alert.budget_version) for alert in decision.alerts] == [("60", 2)]


def test_a_raised_amount_is_not_fired_and_the_state_follows() -> None:
    first = fired()
    raised = book(limited(at=((200, "soft"),), limit=200), version=2)
    decision = evaluate(
        totals(5, entry(80)), raised, kept(first.firings), unasked, NOW_US, published={"": first.states[0]}
    )
    assert decision.alerts == ()
    assert [state.state for state in decision.states] == ["ok"]


def test_a_budget_that_is_gone_leaves_its_scope_ok() -> None:
    budgets = book(limited(scope=CHAT))
    first = evaluate(totals(5, entry(80, scope=CHAT)), budgets, {}, unasked, NOW_US)
    published = {"feature=chat": first.states[0]}
    gone = evaluate(totals(5), book(version=2), kept(first.firings), unasked, NOW_US, published=published)
    assert [(state.scope, state.state, state.budgets) for state in gone.states] == [(CHAT, "ok", ())]


def test_a_late_event_fires_in_the_window_before_and_leaves_the_state() -> None:
    hours = limited(window="hour")
    late = entry(80, window="hour", start_us=0, end_us=HOUR_US)
    current = entry(1, window="hour", start_us=HOUR_US, end_us=2 * HOUR_US)
    decision = evaluate(totals(3, late, current), book(hours), {}, unasked, HOUR_US)
    assert [(alert.period_start_us, alert.amount_atto) for alert in decision.alerts] == [(0, 80 * ATTO)]
    assert decision.states == ()


def test_a_state_ends_with_its_window_by_the_clock() -> None:
    hours = book(limited(window="hour"))
    value = totals(3, entry(100, window="hour", end_us=HOUR_US))
    first = evaluate(value, hours, {}, unasked, HOUR_US - 1)
    assert (first.states[0].state, first.next_us) == ("hard", HOUR_US)
    ended = evaluate(
        value, hours, kept(first.firings), unasked, HOUR_US, seen_seq=3, published={"": first.states[0]}
    )
    assert [(state.state, state.valid_until_us) for state in ended.states] == [("ok", None)]
    assert ended.next_us is None


def test_a_window_that_has_not_begun_counts_from_its_start() -> None:
    """Event times may be ahead of the clock."""
    hours = book(limited(window="hour"))
    value = totals(3, entry(100, window="hour", start_us=HOUR_US, end_us=2 * HOUR_US))
    ahead = evaluate(value, hours, {}, unasked, 0)
    assert len(ahead.alerts) == 2
    assert (ahead.states, ahead.next_us) == ((), HOUR_US)
    begun = evaluate(value, hours, kept(ahead.firings), unasked, HOUR_US)
    assert [(state.state, state.valid_until_us) for state in begun.states] == [("hard", 2 * HOUR_US)]


def test_a_state_is_the_worst_of_its_budgets_until_the_last_of_those_ends() -> None:
    budgets = book(
        limited("hour", window="hour", at=((10, "hard"),)),
        limited("day", window="day", at=((10, "hard"),)),
        limited("ever", window="lifetime", at=((10, "soft"),)),
    )
    value = totals(
        1,
        entry(10, window="hour", end_us=HOUR_US),
        entry(10, window="day", end_us=24 * HOUR_US),
        entry(10, window="lifetime", end_us=None),
    )
    decision = evaluate(value, budgets, {}, unasked, 0)
    (state,) = decision.states
    assert (state.state, state.valid_until_us) == ("hard", 24 * HOUR_US)
    assert [(line.budget_id, line.state) for line in state.budgets] == [
        ("hour", "hard"), ("day", "hard"), ("ever", "soft"),
    ]  # fmt: skip
    assert decision.next_us == HOUR_US


def test_unpriced_usage_is_told_once_a_period_without_any_budget() -> None:
    value = totals(2, entry(1, unpriced=3))
    first = evaluate(value, book(version=0), {}, unasked, NOW_US)
    (alert,) = first.alerts
    assert (alert.kind, alert.measure, alert.channels) == ("unpriced", "price", ())
    assert alert.text == "acme: 3 events have no price in the billing period from 1970-01-01T00:00:00Z"
    assert "ratestream unpriced --customer acme" in alert.look_closer
    again = evaluate(totals(3, entry(1, unpriced=9)), book(), kept(first.firings), unasked, NOW_US)
    assert again is NOTHING
    later = entry(1, unpriced=1, start_us=10 * HOUR_US, end_us=20 * HOUR_US)
    next_period = evaluate(
        totals(4, entry(1, unpriced=9), later), book(), kept(first.firings), unasked, NOW_US
    )
    assert [alert.period_start_us for alert in next_period.alerts] == [10 * HOUR_US]


def test_an_uncovered_currency_needs_a_money_budget_of_its_side() -> None:
    value = totals(2, entry(5, currency="EUR", cost=5))
    assert evaluate(value, book(), {}, unasked, NOW_US) is NOTHING
    events = book(limited(measure="events", currency=None))
    assert evaluate(value, events, {}, unasked, NOW_US) is NOTHING
    first = evaluate(value, book(limited()), {}, unasked, NOW_US)
    assert [(alert.kind, alert.measure, alert.currency) for alert in first.alerts] == [
        ("uncovered_currency", "price", "EUR")
    ]
    assert evaluate(value, book(limited()), kept(first.firings), unasked, NOW_US) is NOTHING


@pytest.mark.parametrize(
    ("customer_id", "severity", "named", "channels"),
    [
        ("acme", "critical", ("pager",), ("pager",)),
        ("acme", "critical", (), ("oncall",)),
        ("acme", "warning", (), ("mail",)),
        (None, "critical", (), ("mail",)),
        ("other", "info", (), ("log",)),
    ],
)
def test_routes(
    customer_id: str | None, severity: str, named: tuple[str, ...], channels: tuple[str, ...]
) -> None:
    routes = (
        Route(("oncall",), customers=("acme",), severities=("critical",)),
        Route(("mail",), severities=("warning", "critical")),
    )
    assert BudgetBook(1, (), routes).channels_for(customer_id, severity, named) == channels


def test_a_customers_budgets_are_its_own_and_everybodys() -> None:
    everybody = replace(limited("all", scope=CHAT), customers=("*",))
    budgets = BudgetBook(2, (limited("own"), everybody))
    assert [one.budget_id for one in budgets.for_customer(CUSTOMER).budgets] == ["all", "own"]
    assert [one.budget_id for one in budgets.for_customer("other").budgets] == ["all"]
    assert budgets.scopes("other") == ((), CHAT)
    assert BudgetBook().scopes("other") == ((),)
