"""What goes wrong every month: an event that comes late, one that should not be, a price that was another."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from cli.demo.world import AUTHOR, World
from pricing.cards import BookContent, RateCard
from pricing.instants import instant_text
from rate_book.store import apply
from runtime.errors import InfrastructureError
from runtime.postgres import connect
from runtime.settings import process_environment

LATE_DAYS = 3
MODEL = "mistral-small-latest"
CHEAPER = Decimal("0.9")
CUSTOMERS_SHOWN = 5
_DAY_US = 86_400_000_000


def late_event(sample: Mapping[str, Any]) -> dict[str, Any]:
    """An event that a service kept for days before it could publish it."""
    return dict(sample) | {
        "event_id": "late-1",
        "event_time_us": sample["event_time_us"] - LATE_DAYS * _DAY_US,
        "query_id": None,
        "parent_event_id": None,
    }


def with_cheaper_model(content: BookContent) -> BookContent:
    """The book as it should have been: the provider charged a tenth less for one model, since ever."""
    cards = tuple(_cheaper(card) if MODEL in card.models else card for card in content.provider_cards)
    return replace(content, provider_cards=cards)


def _cheaper(card: RateCard) -> RateCard:
    versions = []
    for version in card.versions:
        rates = tuple(
            replace(rate, rate=format(Decimal(rate.rate) * CHEAPER, "f")) for rate in version.base.rates
        )
        versions.append(replace(version, base=replace(version.base, rates=rates)))
    return replace(card, versions=tuple(versions))


@dataclass(frozen=True, slots=True)
class Corrections:
    """What the operator's commands answered, as JSON."""

    void: Mapping[str, Any]
    dry_run: Mapping[str, Any]
    rerate: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "void": {"event": self.void["event"], "before": _sides(self.void["before"])},
            "rerate": {
                "model": MODEL,
                "selected": self.rerate["selected"],
                "commands": self.rerate["commands"],
                "applied": self.rerate["applied"],
                "dry_run": self.dry_run["difference"]["amounts"],
                "by_customer": self.dry_run["difference"]["by_customer"][:CUSTOMERS_SHOWN],
                "realised": self.rerate["realised"],
                "as_planned": self.rerate["as_planned"],
            },
        }


def correct(world: World, voided: Mapping[str, Any], from_us: int, to_us: int) -> Corrections:
    """Void one event, and re-rate a model's events by a book that says what should have been charged."""
    void = command(
        world, "void", voided["event_id"], "--customer", voided["customer_id"],
        "--reason", "test traffic", "--author", AUTHOR, "--apply",
    )  # fmt: skip
    with connect(world.dsn) as connection:
        version = apply(connection, with_cheaper_model(world.book), author=AUTHOR, retroactive=True)
    asked = (
        "--from", instant_text(from_us), "--to", instant_text(to_us + 1),
        "--model", MODEL, "--book", str(version.stored.version),
    )  # fmt: skip
    dry_run = command(world, "rerate", *asked)
    done = command(
        world,
        "rerate",
        *asked,
        "--apply",
        "--author",
        AUTHOR,
        "--reason",
        "the provider charges a tenth less",
    )
    return Corrections(void, dry_run, done)


def command(world: World, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments, "--json"],
        env=world.environment(process_environment()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise InfrastructureError(f"ratestream {' '.join(arguments)}: {done.stderr or done.stdout}".strip())
    return json.loads(done.stdout)


def _sides(told: Mapping[str, Any]) -> dict[str, Any]:
    return {side: told[side] for side in ("cost", "price")}


def render(corrections: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    void, rerate = corrections["void"], corrections["rerate"]
    cost, price = (void["before"][side] for side in ("cost", "price"))
    yield "corrected, each with a name and a reason; the records that were wrong stay, reversed"
    yield f"  late     1 event, {LATE_DAYS} days after it happened: billed at the prices of its day"
    yield (
        f"  void     {void['event']['event_id']} of {void['event']['customer_id']}: "
        f"cost -{cost['amount']} {cost['currency']}, price -{price['amount']} {price['currency']}"
    )
    yield f"  re-rate  {rerate['model']} was a tenth cheaper than booked: {rerate['applied']:,} records,"
    yield f"           {rerate['selected']:,} of the model, the others in whole periods that it shares"
    for amount in rerate["realised"]:
        yield f"           {amount['side']:<6}{amount['amount']:>24} {amount['currency']}"
    verdict = "as the dry run said" if rerate["as_planned"] else "NOT AS THE DRY RUN SAID"
    yield f"           {verdict}, to the last place"
