"""What a rate book says, as frozen values: provider cards, customer price cards, contracts, assignments.

Nothing here computes. Rates, thresholds and `per` are plain decimal strings exactly as somebody published
them; instants are microseconds UTC; every period is half-open: [valid_from_us, valid_to_us). `pricing.check`
says what is wrong with a book, `pricing.compile` turns a sound one into the form that `pricing.rate` reads.
"""

from dataclasses import dataclass
from typing import Literal

from pricing.meters import MeterDefinition

ALL = "*"
"""In a list of meters: every meter. As an assignment's customer: any customer without an assignment in force.
"""

DEFAULT_DIMENSIONS = ("project", "product", "feature", "model")
CALENDAR_MONTH_UTC = "calendar_month_utc"

Operator = Literal["gt", "gte"]


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of `per` units of a meter, in the card's currency. "0" is a price; a missing rate is not.

    The meters `events` and `requests` count 1 for each event that does not report them, so that a rate on
    `events` is a flat price per event.
    """

    meter: str
    rate: str
    per: str = "1"


@dataclass(frozen=True, slots=True)
class Step:
    """The rates of the whole request when the selector's total is beyond `start`.

    `inherit` names the meters (or `*`) that keep the rate they have below the first step. A meter that is
    neither in `rates` nor inherited has no price at this step.
    """

    start: str
    rates: tuple[Rate, ...]
    inherit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Steps chosen by one total for the whole request, every meter alike.

    The total is the inclusive one: the selector and all its parts (input with cache reads and writes),
    however the event counted them. `gt`: a step holds above its start; `gte`: at its start and above. Starts
    ascend.
    """

    steps: tuple[Step, ...]
    selector: str = "input_tokens"
    operator: Operator = "gt"


@dataclass(frozen=True, slots=True)
class Cell:
    """The rates of one context, below the first threshold and at each step."""

    rates: tuple[Rate, ...]
    thresholds: Thresholds | None = None


@dataclass(frozen=True, slots=True)
class ContextKey:
    """A context key that the card knows: its values, and the one that holds where an event does not name the
    key.

    `values` includes the default. With the default None an event that does not name the key is unpriced.
    """

    key: str
    values: tuple[str, ...]
    default: str | None


@dataclass(frozen=True, slots=True)
class Variant:
    """The cell for exactly this context: `when` names every key whose value is not its default, and no other.

    There is no overlaying: a call in batch at priority is priced by the variant that names both, or not at
    all. `inherit` names the meters (or `*`) that are charged as in the base cell for the same call (at its
    step); a meter that any part of the variant's own cell prices is never inherited. What is neither in the
    cell nor inherited has no price here. A variant with no rates and `inherit=("*",)` says that a value costs
    the same as the default.
    """

    when: tuple[tuple[str, str], ...]
    cell: Cell
    inherit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardVersion:
    """The prices of a card in [valid_from_us, valid_to_us). None: since ever, or until further notice.

    `parts_at_whole_rate` names the meters (or `*`) that, without a rate of their own, are charged at the rate
    of the nearest whole that has one (cached input at the input rate). Meters not named there are unpriced
    without a rate.
    """

    base: Cell
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    context: tuple[ContextKey, ...] = ()
    variants: tuple[Variant, ...] = ()
    parts_at_whole_rate: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class ModelPrefix:
    """Models whose name begins with `prefix` ("" is any model) and contains none of `unless`; letter case is
    ignored.

    An exact name beats every prefix; among prefixes the higher priority wins, then the longer prefix.
    """

    prefix: str
    priority: int = 0
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateCard:
    """What one model costs, at a provider or for a customer, over time.

    `models` are the exact names and aliases; letter case is ignored in providers and models. `provider` None
    (any provider) is for customer cards only; a card that names the provider is preferred.
    """

    card_id: str
    provider: str | None
    currency: str
    versions: tuple[CardVersion, ...]
    models: tuple[str, ...] = ()
    prefixes: tuple[ModelPrefix, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceCard:
    """A customer price card: rate cards that are sold together, for one model or a thousand."""

    price_card_id: str
    cards: tuple[RateCard, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """Which price cards a customer pays by, in order: the first that has a card for the call's model prices
    it.
    """

    contract_id: str
    currency: str
    price_cards: tuple[str, ...]
    billing_period: str = CALENDAR_MONTH_UTC


@dataclass(frozen=True, slots=True)
class Assignment:
    """A customer's contract in [valid_from_us, valid_to_us); customer `*` is any other at that instant."""

    customer: str
    contract_id: str
    valid_from_us: int | None = None
    valid_to_us: int | None = None


@dataclass(frozen=True, slots=True)
class BookContent:
    """All of one version of the rate book.

    `context_ignored` lists context keys that no price depends on; a card that declares such a key still reads
    it. `meters` adds to `pricing.meters.DEFAULT_METERS`. `dimensions` are those of the running sums.
    """

    provider_cards: tuple[RateCard, ...] = ()
    price_cards: tuple[PriceCard, ...] = ()
    contracts: tuple[Contract, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    dimensions: tuple[str, ...] = DEFAULT_DIMENSIONS
    context_ignored: tuple[str, ...] = ()
    meters: tuple[MeterDefinition, ...] = ()
