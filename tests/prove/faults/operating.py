"""What operators do meanwhile: prices, budgets, corrections; a crossing that is taken back."""

import time
from collections.abc import Mapping
from typing import Any

from tests.prove import budgets
from tests.prove.nemesis import Lane, Step, Striker
from tests.prove.run import Run
from tests.prove.stream import item_of, new_event
from tests.prove.watching import wait_for

_ALERT_S = 60.0
_SETTLED_S = 12.0
_CHEAPER = "two"


def lane() -> Lane:
    """One after the other, in this order."""
    return Lane(
        "operators",
        [
            Step("crossed", crossed),
            Step("prices", lambda striker: prices(striker, 110)),
            Step("void", void),
            Step("amend", amend),
            Step("taken back", taken_back),
            Step("budgets", tighter),
            Step("void again", void),
            Step("crossed again", crossed_again),
            Step("prices again", lambda striker: prices(striker, 93)),
            Step("amend again", amend),
            Step("re-rate", rerate),
        ],
        extra=[Step("void", void), Step("amend", amend)],
        shuffled=False,
    )


def prices(striker: Striker, percent: int) -> None:
    """The list changes some seconds from now."""
    with striker.fault("book change", detail=f"{percent} %"):
        striker.run.operators.change_prices(percent, in_s=striker.chance.randrange(4, 9))
    striker.pause(5)


def void(striker: Striker) -> None:
    """An event of the ledger is taken back."""
    event = _old(striker)
    with striker.fault("void", event["customer_id"], event["event_id"]):
        striker.run.operators.void(event)
    striker.pause(3)


def amend(striker: Striker) -> None:
    """An event of the ledger is replaced."""
    event = _old(striker)
    usage = {"input_tokens": str(striker.chance.randrange(1, 9000)), "output_tokens": "77"}
    with striker.fault("amend", event["customer_id"], event["event_id"]):
        striker.run.operators.amend(event, {**event, "usage": usage})
    striker.pause(3)


def rerate(striker: Striker) -> None:
    """A model was cheaper than the book said, since ever: what was rated is rated again."""
    with striker.fault("re-rate", _CHEAPER):
        operators = striker.run.operators
        operators.plan.cheaper = _CHEAPER
        version = operators.apply_book(retroactive=True)
        now_us = time.time_ns() // 1000
        operators.rerate(now_us - 60 * 86_400_000_000, now_us - 20_000_000, _CHEAPER, version)


def tighter(striker: Striker) -> None:
    """A new version of the budgets."""
    with striker.fault("budgets change"):
        striker.run.operators.apply_budgets(tighter=True)


def crossed(striker: Striker) -> None:
    """A customer whose budget is reached exactly."""
    for number in range(budgets.RETRACTED_LIMIT):
        _publish(striker, f"retracted-{number}")


def taken_back(striker: Striker) -> None:
    """The alert is out; a void of one of its events takes it back."""
    run = striker.run
    if not wait_for(lambda: _alerts(run, "threshold") == 1, _ALERT_S, run.ending.is_set):
        raise RuntimeError("the budget was reached and nobody was told")
    first = run.journal.entries("event")
    event = next(entry["event"] for entry in first if entry["event_id"] == "retracted-2")
    with striker.fault("void", event["customer_id"], event["event_id"]):
        run.operators.void(event)
    if not wait_for(lambda: _alerts(run, "retraction") == 1, _ALERT_S, run.ending.is_set):
        raise RuntimeError("the crossing was taken back and nobody was told")


def crossed_again(striker: Striker) -> None:
    """And reached once more: the next episode."""
    run = striker.run
    _publish(striker, "retracted-again")
    if not wait_for(lambda: _alerts(run, "threshold") == 2, _ALERT_S, run.ending.is_set):
        raise RuntimeError("the budget was reached again and nobody was told")


def _publish(striker: Striker, name: str) -> None:
    event = new_event(name, budgets.RETRACTED, time.time_ns() // 1000)
    striker.run.load.publish(item_of("event", event, note="closing"))


def _alerts(run: Run, kind: str) -> int:
    found = run.watch.ask("select kind, customer_id, body ->> 'budget_id' from guard.alerts")
    return found.count((kind, budgets.RETRACTED, "taken-back"))


def _old(striker: Striker) -> Mapping[str, Any]:
    """An event that was published a while ago and that nothing has corrected yet."""
    run = striker.run
    touched = {tuple(entry["identity"]) for entry in run.journal.entries("correction") if "identity" in entry}
    before_s = time.monotonic() - _SETTLED_S
    found = [
        entry["event"]
        for entry in run.journal.entries("event")
        if entry["at"] < before_s
        and entry["note"] != "closing"
        and (entry["customer_id"], entry["source"], entry["event_id"]) not in touched
    ]
    event: Mapping[str, Any] = striker.chance.choice(found)
    return event
