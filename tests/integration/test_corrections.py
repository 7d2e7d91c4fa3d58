"""void, amend and rerate as an operator gives them: through a real rater into a real ledger."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing.cards import BookContent, CardVersion, Cell, PoolVersion, PriceCard, Rate, RateCard, Tier
from rate_book.store import apply
from runtime.postgres import connect
from schemas.models.usage_event import UsageEvent
from tests.fault.checks import verify
from tests.fix_rater import DEADLINE_S, Pipeline, usage_event, wait_for, whole
from tests.pooled_book import POOLED_BOOK, STEPS

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

DAY_US = 86_400_000_000
WHO = ("--author", "ops", "--reason", "test")

# The input pool at 4 USD per 1000, over 2500 tokens 1 per 1000; output as before.
_CHEAPER = replace(
    STEPS,
    pools=(
        replace(
            STEPS.pools[0],
            versions=(PoolVersion("graduated", (Tier("0", "4", "1000"), Tier("2500", "1", "1000"))),),
        ),
        STEPS.pools[1],
    ),
)
# And the list at 6 USD a million input tokens in place of 3: 0.006 + 0.0015 = 0.0075 an event, 0.0045 before.
_DEARER = PriceCard(
    "list",
    (
        RateCard(
            "list/one",
            "acme",
            "USD",
            (
                CardVersion(
                    Cell((Rate("input_tokens", "6", "1000000"), Rate("output_tokens", "15", "1000000")))
                ),
            ),
            models=("one",),
        ),
    ),
)
NEW_BOOK = replace(
    POOLED_BOOK,
    price_cards=tuple(
        {"steps": _CHEAPER, "list": _DEARER}.get(card.price_card_id, card) for card in POOLED_BOOK.price_cards
    ),
)


@pytest.fixture
def ledger(pipeline: Pipeline) -> Iterator[Pipeline]:
    """The pipeline with customers who pay by the period, a rater and a ledger."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    pipeline.start()
    pipeline.start(module="ledger")
    yield pipeline
    pipeline.check_alive()


def noon_us() -> int:
    """Of yesterday: one day, one month."""
    return time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2


def ask(pipeline: Pipeline, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with connect(pipeline.dsn) as connection:
        return list(connection.execute(query.encode(), parameters).fetchall())


def wait_rows(pipeline: Pipeline, count: int) -> None:
    def there() -> bool:
        pipeline.check_alive()
        return bool(ask(pipeline, "select count(*) from ledger.rated")[0][0] >= count)

    wait_for(there, f"{count} rows in the ledger", DEADLINE_S)


def command(pipeline: Pipeline, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=pipeline.environ() | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def answer(pipeline: Pipeline, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = command(pipeline, *arguments, "--json")
    assert done.returncode == code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def price(pipeline: Pipeline, customer: str) -> Decimal:
    found = ask(pipeline, "select sum(price) from ledger.rated where customer_id = %s", customer)[0][0]
    assert isinstance(found, Decimal)
    return found


def calls(customer: str, numbers: range, **fields: Any) -> list[dict[str, Any]]:
    return [usage_event(0, n, customer_id=customer, event_time_us=noon_us(), **fields) for n in numbers]


def new_book(pipeline: Pipeline, content: BookContent = NEW_BOOK) -> int:
    """Apply it for what has happened too, and wait until every head carries it."""
    with connect(pipeline.dsn) as connection:
        version = apply(connection, content, author="test", retroactive=True).stored.version

    def everywhere() -> bool:
        heads = pipeline.heads()
        return len(heads) == 4 and all(head["book_version"] >= version for head in heads.values())

    wait_for(everywhere, f"version {version} in every head", DEADLINE_S)
    return version


def period() -> tuple[str, ...]:
    """Half an hour around the calls."""
    return tuple(
        text
        for name, offset in (("--from", -900), ("--to", 900))
        for text in (name, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(noon_us() // 1_000_000 + offset)))
    )


def difference(told: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        item["side"]: (item["old"], item["new"], item["difference"]) for item in told["difference"]["amounts"]
    }


def test_void_and_amend_are_shown_applied_and_given_again_to_no_effect(
    ledger: Pipeline, tmp_path: Path
) -> None:
    """0.003 cost and 0.0045 price an event. Amended: 3000 input and 100 output tokens: 0.007 and 0.0105."""
    events = calls("customer-1", range(2))
    ledger.emit(events)
    wait_rows(ledger, 2)
    shown = answer(ledger, "void", "event-0", "--customer", "customer-1", *WHO)
    assert (shown["state"], shown["before"]["price"]["amount"], shown["legs"]) == (
        "not applied",
        "0.0045",
        [],
    )
    assert price(ledger, "customer-1") == Decimal("0.009")

    done = answer(ledger, "void", "event-0", "--customer", "customer-1", *WHO, "--apply")
    assert done["state"] == "applied"
    assert [(leg["leg"], leg["price"]["amount"], leg["customer_seq"]) for leg in done["legs"]] == [
        ("reversal", "-0.0045", 3)
    ]
    again = answer(ledger, "void", "event-0", "--customer", "customer-1", *WHO, "--apply")
    assert (again["state"], again["correction_id"]) == ("applied before", done["correction_id"])
    assert price(ledger, "customer-1") == Decimal("0.0045")

    amended = UsageEvent.model_validate(
        whole(events[1] | {"usage": {"input_tokens": "3000", "output_tokens": "100"}})
    )
    path = tmp_path / "event.json"
    path.write_text(json.dumps(amended.to_cloudevent()), encoding="utf-8")
    how = ("event-1", "--customer", "customer-1", "--event", str(path), *WHO)
    assert answer(ledger, "amend", *how)["after"]["price"]["amount"] == "0.0105"
    for state in ("applied", "applied before"):
        done = answer(ledger, "amend", *how, "--apply")
        assert (done["state"], [(leg["leg"], leg["cost"]["amount"]) for leg in done["legs"]]) == (
            state,
            [("reversal", "-0.003"), ("replacement", "0.007")],
        )
    assert price(ledger, "customer-1") == Decimal("0.0105")
    # The amendment is revision 1: a void of it is another command than one of the original.
    assert (
        answer(ledger, "void", "event-1", "--customer", "customer-1", *WHO, "--apply")["state"] == "applied"
    )
    assert price(ledger, "customer-1") == 0
    failed = command(ledger, "void", "event-7", "--customer", "customer-1", *WHO)
    assert failed.returncode == 1
    assert "no event 'event-7'" in failed.stderr
    text = command(ledger, "amend", *how, "--apply")
    assert text.returncode == 1
    assert "voided before" in text.stderr
    verify(ledger)


def test_what_was_refused_is_applied_when_it_is_given_again_in_time(ledger: Pipeline, tmp_path: Path) -> None:
    """Ten minutes ahead is more than a rater takes, until one takes fifteen; the command's id is the same."""
    event = usage_event(0, 0, customer_id="customer-1")
    ledger.emit([event])
    wait_rows(ledger, 1)
    ahead = whole(event | {"event_time_us": time.time_ns() // 1000 + 600_000_000})
    path = tmp_path / "event.json"
    path.write_text(json.dumps(UsageEvent.model_validate(ahead).to_cloudevent()), encoding="utf-8")
    amend = ("amend", "event-0", "--customer", "customer-1", "--event", str(path), *WHO, "--apply")
    refused = answer(ledger, *amend, code=1)
    assert (refused["state"], refused["reason"]) == ("refused", "in_future")
    assert ledger.raters[0].terminate() == 0
    ledger.start(windows__future_s=900)
    done = answer(ledger, *amend)
    assert (done["state"], done["correction_id"]) == ("applied", refused["correction_id"])


def test_a_rerate_without_pools_replaces_what_changes_and_nothing_twice(ledger: Pipeline) -> None:
    """10 events of customer-1: 0.045 becomes 0.075; half of them by feature: 0.0225 becomes 0.0375."""
    ledger.emit(calls("customer-1", range(5), feature="chat"))
    ledger.emit(calls("customer-1", range(5, 10)))
    ledger.emit(calls("packs", range(3)))
    wait_rows(ledger, 13)
    early = command(ledger, "rerate", *period(), "--book", "3", "--wait", "1")
    assert early.returncode == 2  # there is no such version
    version = str(new_book(ledger))
    asked = ("rerate", *period(), "--book", version)
    told = answer(ledger, *asked, "--feature", "chat")
    assert difference(told)["price"] == ("0.0225", "0.0375", "0.015")
    assert (told["selected"], told["commands"]) == (5, 5)

    told = answer(ledger, *asked)
    # packs pays by the period, and nothing changes there
    assert (told["selected"], told["unchanged"], told["commands"], told["whole_periods"]) == (13, 3, 10, [])
    assert difference(told) == {"cost": ("0.03", "0.03", "0"), "price": ("0.045", "0.075", "0.03")}
    assert [(item["line"], item["amounts"][-1]["difference"]) for item in told["difference"]["by_line"]] == [
        ("input_tokens", "0.03"),
        ("output_tokens", "0"),
    ]
    assert command(ledger, *asked, "--apply").returncode == 2  # without author and reason
    done = answer(ledger, *asked, "--apply", *WHO)
    assert (done["complete"], done["as_planned"], done["applied"]) == (True, True, 10)
    assert done["realised"] == [{"side": "price", "currency": "USD", "amount": "0.03"}]
    assert price(ledger, "customer-1") == Decimal("0.075")
    assert ask(ledger, "select count(*), count(finished_at), min(author) from ledger.runs") == [(1, 1, "ops")]

    again = answer(ledger, *asked, "--apply", *WHO)
    assert (again["commands"], again["unchanged"]) == (0, 13)
    assert price(ledger, "customer-1") == Decimal("0.075")
    finished = answer(ledger, "rerate", "--run", done["run_id"])
    assert finished["totals"]["applied"] == 10
    verify(ledger)


def test_a_rerate_of_a_period_widens_and_ends_at_its_price_with_a_late_event_meanwhile(
    ledger: Pipeline,
) -> None:
    """Events of 1000 input and 100 output tokens, asked for by feature: one of them; the whole month follows.

    Five before: 2500 x 0.003 + 1 + 2500 x 0.002 = 13.5, and 500 x 0.01 = 5: 18.5.
    Then: 2500 x 0.004 + 2500 x 0.001 = 12.5, and 5: 17.5. One more, late, while the commands wait:
    6000 input tokens are 10 + 3.5 = 13.5, and 600 output tokens 600 x 0.004 = 2.4: 15.9 in the end.
    """
    ledger.emit(calls("steps", range(4)))
    ledger.emit(calls("steps", range(4, 5), feature="chat"))
    wait_rows(ledger, 5)
    assert price(ledger, "steps") == Decimal("18.5")
    version = str(new_book(ledger))
    asked = ("rerate", *period(), "--book", version, "--feature", "chat")
    told = answer(ledger, *asked)
    assert (told["selected"], told["commands"]) == (1, 5)
    assert sorted(item["pool"] for item in told["whole_periods"]) == ["steps/input", "steps/output"]
    assert difference(told)["price"] == ("18.5", "17.5", "-1")

    rater = ledger.raters[0]
    rater.pause()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *asked, "--apply", *WHO, "--json"],
        env=ledger.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(ledger.read("usage.corrections")) == 5, "five commands")
    ledger.emit(calls("steps", range(5, 6)))
    rater.resume()
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors + out
    done = json.loads(out)
    wait_rows(ledger, 16)
    assert price(ledger, "steps") == Decimal("15.9")
    late = ask(ledger, "select price from ledger.rated where event_id = 'event-5'")[0][0]
    realised = sum(Decimal(item["amount"]) for item in done["realised"] if item["side"] == "price")
    assert Decimal("18.5") + realised + late == Decimal("15.9")
    again = answer(ledger, *asked, "--apply", *WHO)
    assert again["commands"] == 0
    verify(ledger)


@pytest.mark.parametrize("point", ["cut_stored:1:kill", "command_sent:4:kill"])
def test_a_rerate_killed_half_way_goes_on_with_the_same_command(ledger: Pipeline, point: str) -> None:
    """As above without the late event; other customers beside it: 6 x (0.0075 - 0.0045) = 0.018."""
    ledger.emit(calls("steps", range(5)))
    ledger.emit(calls("customer-1", range(6)))
    wait_rows(ledger, 11)
    version = str(new_book(ledger))
    asked = ("rerate", *period(), "--book", version, "--apply", *WHO)
    died = command(ledger, *asked, RATESTREAM_FAILPOINTS=point)
    assert died.returncode == -signal.SIGKILL
    assert ask(ledger, "select count(*), count(finished_at) from ledger.runs") == [(1, 0)]
    ledger.emit(calls("customer-1", range(6, 7)))  # 0.0075, by the new version: no part of the run
    wait_for(
        lambda: ask(ledger, "select count(*) from ledger.rated where event_id = 'event-6'") == [(1,)],
        "event-6",
    )
    done = answer(ledger, *asked)
    assert (done["complete"], done["applied"], done["commands"]) == (True, 11, 11)
    assert difference(done)["price"] == ("18.527", "17.545", "-0.982")
    assert done["realised"] == [{"side": "price", "currency": "USD", "amount": "-0.982"}]
    assert price(ledger, "steps") == Decimal("17.5")
    assert price(ledger, "customer-1") == Decimal("0.0525")
    assert ask(ledger, "select count(*), max(revision) from ledger.rated where leg = 'replacement'") == [
        (11, 1)
    ]
    assert ask(ledger, "select count(*), count(finished_at) from ledger.runs") == [(1, 1)]
    verify(ledger)


def test_a_period_whose_last_command_was_refused_is_run_again(ledger: Pipeline) -> None:
    """The last of 6 calls is voided before the commands come: 5 are left, 17.5 by the new version."""
    ledger.emit(calls("steps", range(6)))
    wait_rows(ledger, 6)
    version = str(new_book(ledger))
    asked = ("rerate", *period(), "--book", version, "--apply", *WHO)
    ledger.raters[0].pause()
    void = ("void", "event-5", "--customer", "steps", *WHO, "--apply")
    assert answer(ledger, *void, "--no-wait")["state"] == "published"
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *asked, "--json"],
        env=ledger.environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(ledger.read("usage.corrections")) == 7, "seven commands")
    ledger.raters[0].resume()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    told = json.loads(out)
    assert (told["applied"], [(one["event_id"], one["reason"]) for one in told["refused"]]) == (
        5,
        [("event-5", "stale_correction")],
    )
    assert price(ledger, "steps") != Decimal("17.5")
    text = command(ledger, *asked)
    assert text.returncode == 0, text.stderr
    assert "whole period: steps, pool steps/input" in text.stdout
    assert "5 of 5 commands are in the ledger" in text.stdout
    assert price(ledger, "steps") == Decimal("17.5")
    assert "nothing changes" in command(ledger, *asked).stdout
    assert ask(ledger, "select count(*), count(finished_at) from ledger.runs") == [(3, 3)]
    verify(ledger)


def test_a_rerate_waits_for_heads_and_ledger(ledger: Pipeline, tmp_path: Path) -> None:
    """A rater that is not on the version, then a ledger that stands still: exit code 1 and the place."""
    ledger.emit(calls("customer-1", range(2)))
    wait_rows(ledger, 2)
    ledger.raters[0].pause()
    with connect(ledger.dsn) as connection:
        version = str(apply(connection, NEW_BOOK, author="test", retroactive=True).stored.version)
    asked = ("rerate", *period(), "--book", version)
    refused = command(ledger, *asked, "--wait", "1")
    assert refused.returncode == 1
    assert "is on version 2" in refused.stderr
    ledger.raters[0].resume()
    new_book(ledger)
    ledger.raters[1].pause()
    ledger.emit(calls("customer-1", range(2, 3)))
    ledger.wait_drained()
    refused = command(ledger, *asked, "--wait", "1")
    assert refused.returncode == 1
    assert "the ledger has not passed" in refused.stderr
    ledger.raters[1].resume()
    path = tmp_path / "details.csv"
    text = command(ledger, *asked, "--details", str(path))
    assert text.returncode == 0, text.stderr
    assert "2 to be replaced, of 1 customers" in text.stdout
    rows = path.read_text(encoding="utf-8").splitlines()
    assert rows[0] == "customer,model,line,side,currency,old_amount,new_amount,difference"
    assert "customer-1,one,input_tokens,price,USD,0.006,0.012,0.006" in rows
    assert len(rows) == 5
