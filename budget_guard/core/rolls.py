"""What a state becomes when a window of its budgets ends, without any event."""

from dataclasses import replace

from budget_guard.core.firings import ScopeState, Standing

_RANK: dict[Standing, int] = {"ok": 0, "soft": 1, "hard": 2}


def rolled(state: ScopeState, now_us: int) -> ScopeState:
    """The state of the budgets whose windows go on; from `valid_until_us` of a budget on it says nothing."""
    lines = tuple(
        line for line in state.budgets if line.valid_until_us is None or now_us < line.valid_until_us
    )
    worst: Standing = max((line.state for line in lines), key=_RANK.__getitem__, default="ok")
    ends = [line.valid_until_us for line in lines if line.state == worst]
    known = [end for end in ends if end is not None]
    endless = worst == "ok" or len(known) < len(ends)
    return replace(
        state,
        state=worst,
        valid_until_us=None if endless else max(known),
        budgets=lines,
        at_us=now_us,
    )
