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
CALENDAR_MONTH_UTC: Literal["calendar_month_utc"] = "calendar_month_utc"

ATTRIBUTE_PREFIX = "event."
"""Context keys that begin so are attributes of the event (`event.quality_tier`), read only by cards that name
them.
"""
UTC = "UTC"

STATEMENT_TERMS = ("allowance", "commitment", "minimum")
"""Fields of a contract that are lines of a statement and price no event, in the order in which they apply."""

Operator = Literal["gt", "gte"]
Shape = Literal["graduated", "volume", "package"]
BillingUnit = Literal["calendar_month_utc", "day", "week", "month", "quarter", "year"]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TileRule:
    """How images become tokens: the billed quantity of a meter that counts images.

    Low detail: `low_tokens` an image. High detail: the image is scaled down to fit `fit_px` x `fit_px`, then
    down until its shorter side is `short_px`, and costs `base_tokens` + `tile_tokens` for each begun square
    of `tile_px`. Sizes and detail come from the context: `image_sizes` (`1024x768,512x512`), `image_detail`.
    """

    low_tokens: str
    base_tokens: str
    tile_tokens: str
    tile_px: int = 512
    fit_px: int = 2048
    short_px: int = 768


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of `per` units of a meter, in the card's currency. "0" is a price; a missing rate is not.

    The meters `events` and `requests` count 1 for each event that does not report them, so that a rate on
    `events` is a flat price per event.

    `minimum`: a quantity above 0 and below it is billed as this many units. `increment`: the quantity is
    billed in begun multiples of it, after the minimum. `tiles`: the meter counts images, billed as tokens.
    `pool`: the quantity is priced by the price card's pool of that name, over the customer's period; then
    there is no rate.
    """

    meter: str
    rate: str = ""
    per: str = "1"
    minimum: str | None = None
    increment: str | None = None
    tiles: TileRule | None = None
    pool: str | None = None


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
class Window:
    """Hours of the day in which a schedule's value holds: local times `HH:MM`, the end excluded, `24:00` is
    the end of the day.

    An end at or before the start lies on the next day; the window belongs to the day on which it starts.
    `days`: mon, tue, wed, thu, fri, sat, sun, holiday; none named is every day.
    """

    value: str
    start: str
    end: str
    days: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A context key whose value follows from the event time: that of its window, else `default`.

    `zone` is UTC, an offset (`+08:00`) or the name of a `Zone` of the book. A date in `holidays` (YYYY-MM-DD,
    local) is the day `holiday` and no weekday.
    """

    key: str
    default: str
    windows: tuple[Window, ...]
    zone: str = UTC
    holidays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A factor on the rates of these meters (or `*`) where the context says `when` (one pair; none: always).

    It stands for a context value that has no cell of its own: a cell that names the value is the published
    price, and the multiplier is left out. Multipliers are applied in the order in which the version lists
    them.
    """

    name: str
    factor: str
    when: Pairs = ()
    meters: tuple[str, ...] = (ALL,)


@dataclass(frozen=True, slots=True)
class NotBilled:
    """Calls that cost nothing: the context says all of `when`, and none of the meters `without` (nor a part
    of one) has a quantity.
    """

    when: Pairs
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardVersion:
    """The prices of a card in [valid_from_us, valid_to_us). None: since ever, or until further notice.

    `parts_at_whole_rate` names the meters (or `*`) that, without a rate of their own, are charged at the rate
    of the nearest whole that has one (cached input at the input rate). Meters not named there are unpriced
    without a rate.

    `included` names the meters (or `*`) that, without a rate of their own, are paid for by the query that the
    call belongs to. `markup_percent`: meters without a rate of their own cost the customer what they cost us
    and so much more. `stated_cost`: the cost is what the provider stated in the event. `minimum` is the least
    amount of an event that owes anything. `accepted` is for `lint`: (rule, why it is right here).
    """

    base: Cell
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    context: tuple[ContextKey, ...] = ()
    variants: tuple[Variant, ...] = ()
    parts_at_whole_rate: tuple[str, ...] = ()
    source: str | None = None
    schedules: tuple[Schedule, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    not_billed: tuple[NotBilled, ...] = ()
    included: tuple[str, ...] = ()
    markup_percent: str | None = None
    stated_cost: bool = False
    minimum: str | None = None
    accepted: Pairs = ()


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
class Tier:
    """From `start` on: `rate` for `per` units, and `flat` once when the tier is reached."""

    start: str
    rate: str
    per: str = "1"
    flat: str = "0"


@dataclass(frozen=True, slots=True)
class PoolVersion:
    """P(Q), the price of a customer's whole quantity in a period, in [valid_from_us, valid_to_us).

    The first `free` units cost nothing, and the tiers count what is beyond them. graduated: each unit at the
    rate of its tier. volume: all units at the rate of the tier that the quantity has reached. package: one
    tier; each begun `per` units cost `rate`. `gt`: a tier is reached above its start; `gte`: at it.
    """

    shape: Shape
    tiers: tuple[Tier, ...]
    free: str = "0"
    operator: Operator = "gt"
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Meters of one customer that are priced together over a period: rates of the price card's cards name the
    pool.
    """

    pool: str
    currency: str
    versions: tuple[PoolVersion, ...]


@dataclass(frozen=True, slots=True)
class PriceCard:
    """A customer price card: rate cards that are sold together, for one model or a thousand.

    `target_margin` (a share such as 0.3 of the price) prices nothing; lint names the rates that miss it.
    """

    price_card_id: str
    cards: tuple[RateCard, ...]
    pools: tuple[Pool, ...] = ()
    target_margin: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """Which price cards a customer pays by, in order: the first that has a card for the call's model prices
    it.

    The billing period begins on `anchor_day` at midnight in `zone`: day of the month (the last one where the
    month is shorter; of January, April, July and October for a quarter, of January for a year), or 1 Monday
    to 7 Sunday for a week. A change of the customer's contract ends a pool's period, unless the contract that
    follows has `carry_over` and the same billing period and sells the same pool.

    `minimum`, `commitment` and `allowance` are amounts of a billing period in the contract's currency: lines
    of the period's statement, which price no event.
    """

    contract_id: str
    currency: str
    price_cards: tuple[str, ...]
    billing_period: BillingUnit = CALENDAR_MONTH_UTC
    anchor_day: int = 1
    zone: str = UTC
    carry_over: bool = False
    minimum: str | None = None
    commitment: str | None = None
    allowance: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A customer's contract in [valid_from_us, valid_to_us); customer `*` is any other at that instant."""

    customer: str
    contract_id: str
    valid_from_us: int | None = None
    valid_to_us: int | None = None


@dataclass(frozen=True, slots=True)
class ModelAlias:
    """A name that stands for `model` of the provider in [valid_from_us, valid_to_us): `...-latest`."""

    provider: str
    alias: str
    model: str
    valid_from_us: int | None = None
    valid_to_us: int | None = None


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """One unit of `currency` is `rate` units of `to` in [valid_from_us, valid_to_us); never used inverted."""

    currency: str
    to: str
    rate: str
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone as the book knows it: (instant in microseconds UTC, seconds east of UTC from then on).

    The first offset also holds before its instant. So a book prices the same whatever the machine's time zone
    data say.
    """

    name: str
    transitions: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class BookContent:
    """All of one version of the rate book.

    `context_ignored` lists context keys that no price depends on; a card that declares such a key still reads
    it. `meters` adds to `pricing.meters.DEFAULT_METERS`. `dimensions` are those of the running sums. `units`
    are credit units beside the currencies of ISO 4217.
    """

    provider_cards: tuple[RateCard, ...] = ()
    price_cards: tuple[PriceCard, ...] = ()
    contracts: tuple[Contract, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    dimensions: tuple[str, ...] = DEFAULT_DIMENSIONS
    context_ignored: tuple[str, ...] = ()
    meters: tuple[MeterDefinition, ...] = ()
    units: tuple[str, ...] = ()
    aliases: tuple[ModelAlias, ...] = ()
    exchange: tuple[ExchangeRate, ...] = ()
    zones: tuple[Zone, ...] = ()
