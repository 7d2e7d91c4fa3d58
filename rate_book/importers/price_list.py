"""What an importer hands over: provider cards as a price list says them, and every refusal by name."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that the list says and the book does not: whose, which part, and why.

    `outcome` says what happens instead, so that nothing is dropped in silence.
    """

    provider: str
    model: str
    what: str
    outcome: str


@dataclass
class StepRates:
    """The rates above `start`; a meter in `inherit` keeps the rate below the first step."""

    start: int
    rates: dict[str, str]
    inherit: list[str] = field(default_factory=list)


@dataclass
class Prices:
    """A cell: meter to `RATE per PER`, and whole-request steps by input tokens: above the start (`gt`), or at
    it too (`gte`). `minimum`: the least quantity that is billed, by meter.
    """

    rates: dict[str, str]
    steps: list[StepRates] = field(default_factory=list)
    operator: str = "gt"
    minimum: dict[str, str] = field(default_factory=dict)


@dataclass
class VariantPrices:
    when: dict[str, str]
    prices: Prices
    inherit: list[str]


@dataclass
class ListedWindow:
    """Hours `HH:MM` of the day with `value`; no day named is every day."""

    value: str
    start: str
    end: str
    days: list[str] = field(default_factory=list)


@dataclass
class ListedSchedule:
    """A context key whose value follows from the time of the event."""

    key: str
    default: str
    windows: list[ListedWindow]
    zone: str = "UTC"


@dataclass
class ListedFactor:
    """A multiplier on these meters (none: all) where the context has the pair."""

    name: str
    factor: str
    when: tuple[str, str]
    meters: list[str] = field(default_factory=list)


@dataclass
class Dated:
    """The prices in [start, end); None is since ever, or until further notice. Texts are instants."""

    start: str | None
    end: str | None
    prices: Prices
    context: dict[str, tuple[list[str], str]]
    variants: list[VariantPrices]
    parts_at_whole_rate: list[str]
    schedules: list[ListedSchedule] = field(default_factory=list)
    factors: list[ListedFactor] = field(default_factory=list)


@dataclass
class Card:
    """`corrects` says why this card stands in the place of the one of the same id in an earlier directory."""

    card_id: str
    models: list[str]
    prefixes: list[tuple[str, int, list[str]]]
    versions: list[Dated]
    corrects: str | None = None


@dataclass
class ProviderList:
    """One provider file."""

    provider: str
    source: str
    checked: str
    cards: list[Card]
