"""The guard's decisions against a naive judge, whatever happens between totals and what is stored.

Totals come, come again and come late; guards crash before and after their commit, and others with old
totals are still about; budgets are raised, lowered and renamed; usage is voided, with the ledger behind or
not; hours roll by the clock. The judge sums rows anew for every observation and replays all that was ever
committed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from budget_guard.core.evaluate import evaluate
from budget_guard.core.firings import Alert, Decision, Firing, FiringKey, ScopeState, Totals
from pricing.budgets import Budget, CustomerBudgets
from pricing.money import ATTO
from pricing.totals import Key, Scope, Sums
from tests.unit.budget_guard.guard_world import CUSTOMER, HOUR_US, book, limited

CHAT: Scope = (("feature", "chat"),)
RANK = {"ok": 0, "none": 0, "soft": 1, "hard": 2}


@dataclass(frozen=True)
class Row:
    """One rated record; its sequence is its place in the list, from 1."""

    hour: int
    price: int
    chat: bool = False
    currency: str = "USD"
    unpriced: bool = False
    reversal: bool = False


@dataclass(frozen=True)
class Seen:
    """What a guard looked at and committed."""

    seq: int
    budgets: CustomerBudgets
    ledger_seq: int


@dataclass(frozen=True)
class Thing:
    """A threshold in a window, as the judge names it."""

    budget: str
    what: tuple[Any, ...]
    window: str
    start: int


@dataclass
class Judged:
    """What must have been said by now: (kind, thing, episode), and what holds with its sequence."""

    said: list[tuple[str, Thing, int]] = field(default_factory=list)
    held: dict[Thing, int] = field(default_factory=dict)
    episodes: dict[Thing, int] = field(default_factory=dict)
    newest: int = 0


def variant(raised: int, name: str, hour_action: Any) -> tuple[Budget, ...]:
    return (
        limited(name, at=((4 + raised, "soft"), (8 + raised, "hard")), limit=8 + raised),
        limited("chat-hour", window="hour", scope=CHAT, at=((3, hour_action), (6 + raised, "hard"))),
        limited("chat-ever", window="lifetime", scope=CHAT, at=((7, "soft"), (9 + raised, "hard"))),
        limited("calls", window="lifetime", measure="events", currency=None, at=((5 + raised, "soft"),)),
    )


class GuardMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.voided: set[int] = set()
        self.ledger_seq = 0
        self.now_us = 5 * HOUR_US
        self.version = 1
        self.budgets = book(*variant(0, "total", "hard"))
        # What is stored.
        self.firings: dict[tuple[FiringKey, int], Firing] = {}
        self.alerts: dict[str, Alert] = {}
        self.states: dict[str, ScopeState] = {}
        # What a guard remembers.
        self.seen_seq: int | None = None
        self.next_us: int | None = None
        self.last: Seen | None = None
        # What the judge remembers.
        self.committed: list[Seen] = []

    # What happens to usage.

    @rule(
        back=st.sampled_from([0, 0, 0, 1, 2, -1]), price=st.integers(0, 4), chat=st.booleans(),
        currency=st.sampled_from(["USD", "USD", "USD", "EUR"]),
        unpriced=st.sampled_from([False] * 5 + [True]),
    )  # fmt: skip
    def use(self, back: int, price: int, currency: str, *, chat: bool, unpriced: bool) -> None:
        hour = self.now_us // HOUR_US - back
        self.rows.append(Row(hour, price, chat, currency, unpriced))

    @rule(which=st.integers(0, 30))
    @precondition(lambda self: self.rows)
    def void(self, which: int) -> None:
        place = which % len(self.rows)
        row = self.rows[place]
        if place not in self.voided and not row.reversal:
            self.voided.add(place)
            back = Row(row.hour, -row.price, row.chat, row.currency, row.unpriced, reversal=True)
            self.rows.append(back)

    @rule(chat=st.booleans())
    def cross_and_take_back(self, *, chat: bool) -> None:
        """What crosses everything comes, is voided and comes again: the next episode."""
        for _ in range(2):
            self.rows.append(Row(self.now_us // HOUR_US, 20, chat))
            self._commit_of(len(self.rows))
            self.void(len(self.rows) - 1)
            self._commit_of(len(self.rows))
            self.ledger_catches_up()
            self._commit_of(len(self.rows))
            self.zombie(1)

    @rule(chat=st.booleans())
    def cross_and_fall(self, *, chat: bool) -> None:
        """Without a correction behind it nothing is taken back."""
        for price in (20, -20):
            self.rows.append(Row(self.now_us // HOUR_US, price, chat))
            self.ledger_catches_up()
            self._commit_of(len(self.rows))

    @rule(by=st.integers(1, 5), chat=st.booleans())
    def fall_without_a_correction(self, by: int, *, chat: bool) -> None:
        """An event of a pool whose price falls by volume may have a negative amount."""
        self.rows.append(Row(self.now_us // HOUR_US, -by, chat))

    @rule()
    def ledger_catches_up(self) -> None:
        self.ledger_seq = len(self.rows)

    # What happens to budgets and time.

    @rule(
        raised=st.sampled_from([0, 2, 5]), name=st.sampled_from(["total", "total", "renamed"]),
        action=st.sampled_from(["none", "soft", "hard"]),
    )  # fmt: skip
    def new_version(self, raised: int, name: str, action: str) -> None:
        self.version += 1
        self.budgets = book(*variant(raised, name, action), version=self.version)
        if self.last is not None:  # the guard looks at what it has again
            self._commit_of(self.last.seq)

    @rule(minutes=st.integers(1, 150))
    def time_passes(self, minutes: int) -> None:
        """The guard wakes when it said that a state changes by the clock, and not before."""
        end_us = self.now_us + minutes * 60_000_000
        while self.next_us is not None and self.next_us <= end_us:
            self.now_us = max(self.now_us, self.next_us - 1)
            self.what_gateways_obey_is_right()
            self.now_us = self.next_us
            assert self.last is not None
            self._commit_of(self.last.seq)
        self.now_us = end_us

    # What happens to guards.

    @rule()
    @precondition(lambda self: self.rows)
    def deliver(self) -> None:
        self._commit_of(len(self.rows))

    @rule(age=st.integers(0, 8))
    @precondition(lambda self: self.rows)
    def redeliver(self, age: int) -> None:
        self._commit_of(max(1, len(self.rows) - age))

    @rule(age=st.integers(0, 3))
    @precondition(lambda self: self.rows)
    def crash_before_the_commit(self, age: int) -> None:
        seq = max(1, len(self.rows) - age)
        lost = self._evaluated(seq, self.seen_seq)
        self.seen_seq = None
        again = self._evaluated(seq, self.seen_seq)
        if not lost.stale:
            assert [one.alert_id for one in again.alerts] == [one.alert_id for one in lost.alerts]
        self._restart(seq)

    @rule(age=st.integers(0, 3))
    @precondition(lambda self: self.rows)
    def crash_after_the_commit(self, age: int) -> None:
        seq = max(1, len(self.rows) - age)
        self._commit_of(seq)
        before = set(self.alerts)
        self.seen_seq = None
        self._restart(seq)
        assert set(self.alerts) == before

    @rule(age=st.integers(1, 12))
    @precondition(lambda self: self.rows)
    def zombie(self, age: int) -> None:
        """Another guard, which remembers nothing, with old totals; what is stored tells it."""
        mine = self.seen_seq, self.next_us, self.last
        self.seen_seq = None
        self._commit_of(max(1, len(self.rows) - age))
        self.seen_seq, self.next_us, self.last = mine
        self.what_gateways_obey_is_right()
        if self.last is not None:
            self._commit_of(self.last.seq)  # its owner is woken by what changed

    def _restart(self, seq: int) -> None:
        """From the committed offset on: totals that were there before, then the newest that was delivered."""
        newest = max(seq, 0 if self.last is None else self.last.seq)
        self._commit_of(seq)
        self._commit_of(newest)

    # The guard with its store.

    def _evaluated(self, seq: int, seen_seq: int | None) -> Decision:
        ledger = self.rows[: min(seq, self.ledger_seq)]
        newest = {key: one for (key, _), one in sorted(self.firings.items(), key=lambda item: item[0][1])}
        return evaluate(
            Totals(CUSTOMER, seq, seq, entries(self.rows[:seq])),
            self.budgets,
            newest,
            lambda since: any(row.reversal for row in ledger[since:]),
            self.now_us,
            seen_seq=seen_seq,
            published=self.states,
        )

    def _commit_of(self, seq: int) -> None:
        decision = self._evaluated(seq, self.seen_seq)
        if decision.stale:
            return
        self.committed.append(Seen(seq, self.budgets, self.ledger_seq))
        for firing in decision.firings:
            assert (firing.key, firing.episode) not in self.firings
            self.firings[firing.key, firing.episode] = firing
        for firing in decision.retracted:
            self.firings[firing.key, firing.episode] = firing
        for alert in decision.alerts:
            assert alert.alert_id not in self.alerts
            self.alerts[alert.alert_id] = alert
        for state in decision.states:
            self.states[";".join("=".join(pair) for pair in state.scope)] = state
        self.seen_seq, self.next_us, self.last = seq, decision.next_us, self.committed[-1]

    # The judge.

    @invariant()
    def every_crossing_was_said_once_and_nothing_else(self) -> None:
        judged = self._judge()
        told = [
            (alert.kind, self._thing(alert), alert.episode)
            for alert in self.alerts.values()
            if alert.kind in {"threshold", "retraction"}
        ]
        assert sorted(told, key=repr) == sorted(judged.said, key=repr)

    @invariant()
    def every_retraction_has_a_correction_behind_it(self) -> None:
        for alert in self.alerts.values():
            if alert.kind == "retraction":
                assert alert.retracts in self.alerts
                assert alert.first_seq is not None
                assert any(row.reversal for row in self.rows[alert.first_seq : alert.last_seq])

    @invariant()
    def notices_are_said_once(self) -> None:
        unpriced = uncovered = False
        for seen in self.committed:
            rows = self.rows[: seen.seq]
            unpriced |= sum(-1 if row.reversal else 1 for row in rows if row.unpriced) > 0
            uncovered |= sum(row.price for row in rows if row.currency == "EUR") > 0
        kinds = [alert.kind for alert in self.alerts.values()]
        assert (kinds.count("unpriced"), kinds.count("uncovered_currency")) == (unpriced, uncovered)

    @invariant()
    def what_gateways_obey_is_right(self) -> None:
        if self.last is None:
            return
        held = self._judge().held
        for scope, key in (((), ""), (CHAT, "feature=chat")):
            expected = "ok"
            for budget in self.budgets.budgets:
                if budget.scope == scope:
                    for start in self._current(budget.window, self.last.seq):
                        for thing, action in things(budget, start):
                            if thing in held and RANK[action] > RANK[expected]:
                                expected = action
            state = self.states.get(key)
            over = state is None or (state.valid_until_us is not None and state.valid_until_us <= self.now_us)
            assert ("ok" if over or state is None else state.state) == expected, scope

    def _current(self, window: str, seq: int) -> Iterator[int]:
        """The starts of the windows that contain now, as far as the totals have them."""
        hour = self.now_us // HOUR_US
        if window != "hour":
            yield 0
        elif hour in kept_hours(self.rows[:seq]):
            yield hour * HOUR_US

    def _judge(self) -> Judged:
        judged = Judged()
        for seen in self.committed:
            if seen.seq < judged.newest:
                continue  # something was said of newer totals: these have nothing to add
            rows = self.rows[: seen.seq]
            hours = kept_hours(rows)
            for budget in seen.budgets.budgets:
                chosen = [row for row in rows if row.chat or not budget.scope]
                if budget.window == "hour":
                    for hour in hours:
                        mine = [row for row in chosen if row.hour == hour]
                        if mine:
                            self._judge_window(judged, seen, budget, hour * HOUR_US, mine)
                elif chosen:
                    self._judge_window(judged, seen, budget, 0, chosen)
        return judged

    def _judge_window(self, judged: Judged, seen: Seen, budget: Budget, start: int, mine: list[Row]) -> None:
        if budget.measure == "events":
            value = sum(-1 if row.reversal else 1 for row in mine)
        else:
            value = sum(row.price for row in mine if row.currency == budget.currency)
        for thing, _ in things(budget, start):
            if value >= thing.what[-1]:
                if thing not in judged.held:
                    judged.held[thing] = seen.seq
                    judged.episodes[thing] = judged.episodes.get(thing, 0) + 1
                    judged.said.append(("threshold", thing, judged.episodes[thing]))
                    judged.newest = seen.seq
            elif thing in judged.held:
                behind = self.rows[judged.held[thing] : min(seen.seq, seen.ledger_seq)]
                if any(row.reversal for row in behind):
                    del judged.held[thing]
                    judged.said.append(("retraction", thing, judged.episodes[thing]))
                    judged.newest = seen.seq

    def _thing(self, alert: Alert) -> Thing:
        what = (alert.measure, alert.currency, (alert.threshold_atto or 0) // ATTO)
        return Thing(str(alert.budget_id), what, str(alert.window), alert.period_start_us or 0)


def things(budget: Budget, start: int) -> Iterator[tuple[Thing, str]]:
    for threshold in budget.thresholds:
        what = (budget.measure, budget.currency, threshold.amount_atto // ATTO)
        yield Thing(budget.budget_id, what, budget.window, start), threshold.action


def kept_hours(rows: list[Row]) -> list[int]:
    return sorted({row.hour for row in rows})[-2:]


def entries(rows: list[Row]) -> dict[Key, Sums]:
    """The totals of these rows, made from scratch."""
    found: dict[Key, Sums] = {}
    kept = kept_hours(rows)
    for row in rows:
        windows = [("period", 0, 1_000 * HOUR_US), ("lifetime", 0, None)]
        if row.hour in kept:
            windows.append(("hour", row.hour * HOUR_US, (row.hour + 1) * HOUR_US))
        for window, start, end in windows:
            for scope in ((), CHAT) if row.chat else ((),):
                sums = found.setdefault((window, start, scope, "USD", row.currency), Sums(end_us=end))
                sums.price_atto = (sums.price_atto or 0) + row.price * ATTO
                sign = -1 if row.reversal else 1
                sums.events += sign
                sums.unpriced_price_events += sign if row.unpriced else 0
    return found


GuardMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestGuard = GuardMachine.TestCase
