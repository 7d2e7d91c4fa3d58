"""Which billing period of a customer is meant, and what stands against closing it; pure.

Periods are those of the customer's contracts as a version of the rate book has them. A closed one stays as it
was closed, so the period after it begins where it ended, whatever the calendar of a later version says.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from pricing.cards import ALL, Assignment, Contract
from pricing.compile import CompiledBook
from pricing.instants import DAY_US, calendar_month, day_of, instant_text

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_SECOND_US = 1_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class PeriodError(ValueError):
    """No period, or more than one, is meant; the text names the field, its value and the rule."""


class Period(NamedTuple):
    """[start_us, end_us), and the contract in force at its last instant; None: none is assigned."""

    start_us: int
    end_us: int
    contract: Contract | None


class Periods:
    """A customer's billing periods in one version of the rate book."""

    def __init__(self, book: CompiledBook, assignments: Iterable[Assignment], customer: str) -> None:
        self._book = book
        self._customer = customer
        mine = [item for item in assignments if item.customer in (customer, ALL)]
        bounds = [bound for item in mine for bound in (item.valid_from_us, item.valid_to_us)]
        self._edges = sorted({bound for bound in bounds if bound is not None})

    def at(self, at_us: int, closed_until_us: int | None = None) -> Period:
        """The period that holds the instant; where no contract is assigned, the calendar month as far as none
        is.

        Raises:
            ValueError: the instant is outside the years 1 to 9999.
        """
        term = self._book.term(self._customer, at_us)
        contract = None
        if term is not None:
            start_us, end_us = term.service_period(at_us)
            last = self._book.term(self._customer, end_us - 1)
            contract = last.contract.contract if last is not None else None
        else:
            start_us, end_us = calendar_month(at_us)
            following = bisect_right(self._edges, at_us)
            start_us = max([start_us, *self._edges[:following][-1:]])
            end_us = min([end_us, *self._edges[following:][:1]])
        if closed_until_us is not None and start_us < closed_until_us <= at_us:
            start_us = closed_until_us
        return Period(start_us, end_us, contract)

    def named(self, text: str) -> int:
        """An instant of the period that begins in a month (YYYY-MM, in the contract's time zone); of the one
        that goes on all through the month where none begins.

        Raises:
            PeriodError: it is no month, or several periods begin in it.
        """
        match = _MONTH.fullmatch(text)
        if match is None or not "0001" < match[1] < "9999":
            raise PeriodError(
                f"--period = {text!r}: must be a month, YYYY-MM; --at names any instant instead"
            )
        first = date(int(match[1]), int(match[2]), 1)
        month = calendar_month((first.toordinal() - _EPOCH_ORDINAL) * DAY_US)
        found: list[Period] = []
        at_us = month[0] - 2 * DAY_US  # no zone is two days from UTC
        while at_us < month[1] + 2 * DAY_US:
            period = self.at(at_us)
            if self._local_day(period.start_us).replace(day=1) == first:
                found.append(period)
            at_us = period.end_us
        sold = [period.start_us for period in found if period.contract is not None]
        starts = sold or [period.start_us for period in found]
        if len(starts) > 1:
            told = ", ".join(map(instant_text, starts))
            raise PeriodError(f"--period = {text}: billing periods begin at {told}: name one by --at")
        return starts[0] if starts else month[0] + 2 * DAY_US

    def _local_day(self, at_us: int) -> date:
        term = self._book.term(self._customer, at_us)
        offset_s = term.contract.calendar.zone.offset_s(at_us) if term is not None else 0
        return day_of(at_us + offset_s * _SECOND_US)


class State(NamedTuple):
    """What closing depends on, seen while nothing of the customer is being written.

    `previous_end_us`: of the last statement, and `owed_us`: the start of a period after it that has no
    statement and ought to. `behind`: what of usage.rated the ledger does not have. `late_us`: so long after
    the end of a period its events are accepted. Instants in microseconds UTC.
    """

    now_us: int
    late_us: int
    early: bool
    gap_seq: int | None
    behind: str | None
    previous_end_us: int | None
    owed_us: int | None


def against_closing(period: Period, state: State) -> list[str]:
    """Why the period cannot be closed now, unpriced usage apart; each names what must happen first."""
    found = []
    late_until_us = period.end_us + state.late_us
    if state.now_us < period.end_us:
        found.append(f"the period ends at {instant_text(period.end_us)}")
    elif state.now_us < late_until_us and not state.early:
        found.append(
            f"events of the period may come until {instant_text(late_until_us)}: close it then, or --early,"
            " and what comes later stands on the next statement as a difference"
        )
    if state.previous_end_us is not None and period.start_us < state.previous_end_us:
        found.append(
            f"the period begins before {instant_text(state.previous_end_us)}, the end of the last statement"
        )
    if state.owed_us is not None:
        found.append(f"an earlier period is open: --at {instant_text(state.owed_us)}")
    if state.gap_seq is not None:
        found.append(f"the customer's rated record with sequence {state.gap_seq} is not in the ledger")
    if state.behind is not None:
        found.append(f"the ledger has not taken over what is rated: {state.behind}")
    return found
