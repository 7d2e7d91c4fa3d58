"""The demo's customers on other plans than so much a token: what each is billed, and what it leaves us."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pricing.cards import ExchangeRate
from runtime.kafka.offsets import list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.settings import KafkaSettings
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from schemas.topics import USAGE_RATED

PLANS: Mapping[str, str] = {
    "fern-commerce": "graduated tiers by the month",
    "maple-logistics": "credits",
    "azure-studio": "a price per query",
    "harbor-clinic": "economy, standard, premium",
    "pearl-legal": "own prices, paid in EUR",
}
"""Customers of the example book and the trace alike."""

PER_QUERY = frozenset({"azure-studio"})
GRADUATED = "fern-commerce"

_Line = tuple[str, str, str]


@dataclass(slots=True)
class Bill:
    """One customer's sums, exact. `cost_in_price`: the cost in the price's currency, at each event's rate."""

    events: int = 0
    queries: int = 0
    cost: Fraction = Fraction()
    cost_currency: str | None = None
    price: Fraction = Fraction()
    price_currency: str | None = None
    cost_in_price: Fraction = Fraction()
    lines: dict[_Line, list[Fraction]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain decimals; the margin is a share of the price."""
        margin = self.price - self.cost_in_price
        return {
            "events": self.events,
            "queries": self.queries,
            "cost": _plain(self.cost),
            "cost_currency": self.cost_currency,
            "price": _plain(self.price),
            "price_currency": self.price_currency,
            "cost_in_price_currency": _plain(self.cost_in_price),
            "margin": _plain(margin),
            "margin_share": str(Decimal(round(margin / self.price * 1000)) / 1000) if self.price else None,
            "price_lines": [
                {
                    "meter": meter,
                    "rate": rate,
                    "per": per,
                    "quantity": _plain(sums[0]),
                    "amount": _plain(sums[1]),
                }
                for (meter, rate, per), sums in self.lines.items()
            ],
        }


def bills(
    kafka: KafkaSettings, customers: Iterable[str], exchange: Sequence[ExchangeRate]
) -> dict[str, Bill]:
    """Each customer's bill, read from usage.rated."""
    wanted = {customer: Bill() for customer in customers}
    topic = kafka.topic_prefix + USAGE_RATED
    partitions = sorted({partition_of(customer.encode(), kafka.partitions) for customer in wanted})
    where = [(topic, partition) for partition in partitions]
    ends = list_offsets(kafka.client_config(), where, "latest")
    keys = {customer.encode() for customer in wanted}
    with PartitionReader(kafka.client_config()) as reader:
        for partition in partitions:
            for record in reader.read(topic, partition, 0, ends[topic, partition]):
                if record.key in keys:
                    rated = CODEC.decode("RatedUsage", record.value)
                    add(wanted[rated["event"]["customer_id"]], rated, exchange)
    return wanted


def add(bill: Bill, rated: Mapping[str, Any], exchange: Sequence[ExchangeRate]) -> None:
    """Add one rated event to its customer's bill."""
    event, rating = rated["event"], rated["rating"]
    cost, price = rating["cost"], rating["price"]
    sign = -1 if rating["leg"] == "reversal" else 1  # a reversal's amounts are negative already
    bill.events += sign
    bill.queries += sign * ("queries" in event["usage"])
    bill.price_currency = price["currency"] or bill.price_currency
    bill.price += Fraction(price["amount"] or 0)
    if cost["amount"] is not None:
        amount = Fraction(cost["amount"])
        bill.cost_currency = cost["currency"]
        bill.cost += amount
        paid_in = price["currency"] or cost["currency"]
        bill.cost_in_price += amount * _rate(exchange, cost["currency"], paid_in, event["event_time_us"])
    for line in rating["lines"]:
        if line["side"] == "price" and line["amount"] is not None:
            sums = bill.lines.setdefault(
                (line["meter"], line["rate"] or "", line["per"] or ""), [Fraction(), Fraction()]
            )
            sums[0] += Fraction(line["quantity"])
            sums[1] += Fraction(line["amount"])


def render(plans: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The bills for people: one line a customer, and the tiers of the one that has tiers."""
    yield f"{'customers on other plans':<45}{'events':>8}{'cost USD':>11}{'price':>19}{'margin':>9}"
    yield "-" * 92
    for customer, bill in plans.items():
        price = f"{Decimal(bill['price']):.4f} {bill['price_currency'] or ''}"
        share = "-" if bill["margin_share"] is None else f"{Decimal(bill['margin_share']):.1%}"
        name = f"{customer}: {PLANS[customer]}"
        yield f"{name[:44]:<45}{bill['events']:>8,}{Decimal(bill['cost']):>11.4f}{price:>19}{share:>9}"
        if bill["queries"]:
            yield f"    {bill['queries']:,} queries paid; their calls are included"
    if GRADUATED in plans:
        yield ""
        yield f"{GRADUATED} by tier: an event costs P(quantity so far + its own) - what is billed already"
        for line in plans[GRADUATED]["price_lines"]:
            rate = f"{line['rate']} per {int(line['per']):,}" if line["rate"] else ""
            amount = line["amount"]
            yield f"    {line['meter']:<24}{Decimal(line['quantity']):>14,} x {rate:<22} = {amount:>24} USD"


def _rate(exchange: Sequence[ExchangeRate], currency: str, to: str, at_us: int) -> Fraction:
    if currency == to:
        return Fraction(1)
    for rate in exchange:
        begins = rate.valid_from_us is None or rate.valid_from_us <= at_us
        ends = rate.valid_to_us is not None and rate.valid_to_us <= at_us
        if (rate.currency, rate.to) == (currency, to) and begins and not ends:
            return Fraction(rate.rate)
    raise ValueError(f"the book has no rate of exchange {currency} to {to} at {at_us} us")


def _plain(amount: Fraction) -> str:
    """A terminating amount as a plain decimal; a product of two rates may have up to 36 places."""
    scaled = amount * 10**36
    whole, fraction = divmod(abs(int(scaled)), 10**36)
    text = f"{whole}.{fraction:036d}".rstrip("0").rstrip(".")
    return "-" + text if amount < 0 else text
