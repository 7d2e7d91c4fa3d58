"""Small pure parts of the guard: rolls of states, differences of totals, episodes of trouble, details."""

from budget_guard.core.details import Crossing, Part, details
from budget_guard.core.firings import BudgetLine, ScopeState, Standing
from budget_guard.core.operations import Episodes, Trouble, operations_body
from budget_guard.core.reconcile import Standing as Wrongs
from budget_guard.core.reconcile import differences
from budget_guard.core.rolls import rolled
from pricing.money import ATTO
from pricing.totals import Key, Sums

HOUR_US = 3_600_000_000


def line(window: str, state: Standing, until_us: int | None) -> BudgetLine:
    return BudgetLine(window, 1, window, 0, until_us, state, "price", "USD", 5 * ATTO, 5 * ATTO)


def state(worst: Standing, until_us: int | None, *lines: BudgetLine) -> ScopeState:
    return ScopeState("acme", (), worst, until_us, 7, lines, 0)


def test_a_state_whose_only_window_ends_is_ok() -> None:
    after = rolled(state("hard", HOUR_US, line("hour", "hard", HOUR_US)), HOUR_US)
    assert (after.state, after.valid_until_us, after.budgets) == ("ok", None, ())
    assert (after.as_of_seq, after.at_us) == (7, HOUR_US)


def test_what_goes_on_stays_in_force() -> None:
    lines = (
        line("hour", "hard", HOUR_US),
        line("day", "soft", 24 * HOUR_US),
        line("week", "ok", 99 * HOUR_US),
    )
    after = rolled(state("hard", HOUR_US, *lines), HOUR_US)
    assert (after.state, after.valid_until_us) == ("soft", 24 * HOUR_US)
    assert [one.window for one in after.budgets] == ["day", "week"]


def test_one_that_never_ends_has_no_end() -> None:
    lines = (line("hour", "hard", HOUR_US), line("day", "soft", 24 * HOUR_US), line("lifetime", "soft", None))
    after = rolled(state("hard", HOUR_US, *lines), HOUR_US)
    assert (after.state, after.valid_until_us) == ("soft", None)


KEY: Key = ("period", 0, (("feature", "chat"),), "USD", "EUR")


def test_equal_totals_do_not_differ() -> None:
    assert differences({KEY: Sums(1, 2, 3)}, {KEY: Sums(1, 2, 3)}) == []


def test_zeros_are_as_good_as_nothing_and_quantities_are_not_compared() -> None:
    assert differences({KEY: Sums(0, None, 0)}, {}) == []
    assert differences({KEY: Sums(1, 1, 1, quantities={"images": 5})}, {KEY: Sums(1, 1, 1)}) == []


def test_a_difference_is_told_with_both_sides() -> None:
    assert differences({KEY: Sums(ATTO, None, 3)}, {KEY: Sums(2 * ATTO, None, 3, 1)}) == [
        {
            "window": "period",
            "start_us": 0,
            "scope": "feature=chat",
            "cost_currency": "USD",
            "price_currency": "EUR",
            "ledger": ["1", "0", "3", "0", "0"],
            "totals": ["2", "0", "3", "1", "0"],
        }
    ]


def test_many_differences_are_cut_off() -> None:
    many: dict[Key, Sums] = {("hour", number, (), None, None): Sums(1) for number in range(30)}
    assert len(differences(many, {})) == 20


def test_a_wrong_begins_anew_when_it_changes_or_was_gone() -> None:
    wrongs = Wrongs()
    assert wrongs.look("acme", {"a": 1}, 10.0) == {"a": 0.0}
    assert wrongs.look("acme", {"a": 1, "b": 1}, 15.0) == {"a": 5.0, "b": 0.0}
    assert wrongs.look("acme", {"a": 2, "b": 1}, 16.0) == {"a": 0.0, "b": 1.0}
    assert wrongs.look("acme", {"b": 1}, 17.0) == {"b": 2.0}
    assert wrongs.look("acme", {"a": 2}, 18.0) == {"a": 0.0}
    wrongs.forget("acme")
    assert wrongs.look("acme", {"a": 2}, 20.0) == {"a": 0.0}


TROUBLE = Trouble("rejects", "12 records were rejected within 300 s", "ratestream rejected list", 12, 10)
NONE: frozenset[str] = frozenset()
OPEN = frozenset({"rejects"})


def test_trouble_is_told_once_it_lasted_and_closed_once_it_was_gone_for_as_long() -> None:
    episodes = Episodes(60)
    bad = {"rejects": TROUBLE}
    assert episodes.look(bad, NONE, 0.0) == ([], [])
    assert episodes.look(bad, NONE, 59.0) == ([], [])
    assert episodes.look(bad, NONE, 60.0) == ([TROUBLE], [])
    assert episodes.look(bad, OPEN, 90.0) == ([], [])
    assert episodes.look({}, OPEN, 100.0) == ([], [])
    assert episodes.look(bad, OPEN, 110.0) == ([], [])
    assert episodes.look({}, OPEN, 120.0) == ([], [])
    assert episodes.look({}, OPEN, 180.0) == ([], ["rejects"])


def test_trouble_that_goes_begins_anew() -> None:
    episodes = Episodes(60)
    assert episodes.look({"rejects": TROUBLE}, NONE, 0.0) == ([], [])
    assert episodes.look({}, NONE, 30.0) == ([], [])
    assert episodes.look({"rejects": TROUBLE}, NONE, 70.0) == ([], [])
    assert episodes.look({"rejects": TROUBLE}, NONE, 130.0) == ([TROUBLE], [])


def test_each_episode_is_an_alert_of_its_own() -> None:
    first, again = operations_body(TROUBLE, 1, 5), operations_body(TROUBLE, 1, 9)
    assert first["alert_id"] == again["alert_id"] != operations_body(TROUBLE, 2, 9)["alert_id"]
    assert (first["kind"], first["customer_id"], first["amount"], first["limit"]) == (
        "operations",
        None,
        "12",
        "10",
    )


def test_details_are_complete_also_without_a_crossing_event() -> None:
    assert details(None, ()) == {"crossing_event": None, "contributors": [], "details_complete": True}
    told = details(Crossing("s", "e", 3, 4), [Part("model", None, ATTO // 2, None)])
    assert told["crossing_event"] == {"source": "s", "event_id": "e", "customer_seq": 3, "event_time_us": 4}
    assert told["contributors"] == [{"dimension": "model", "value": None, "amount": "0.5", "share": "0.00"}]
