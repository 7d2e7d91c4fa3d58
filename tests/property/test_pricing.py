"""Laws of pricing that hold for every call: nothing lost, nothing twice, nothing dependent on order."""

from collections.abc import Mapping
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pricing.cards import CardVersion, Cell, Rate
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.money import ATTO, LIMIT, format_atto, parse_decimal, round_half_even
from pricing.rate import Call, Rating, rate
from pricing.split import Splitter
from tests.unit.pricing.build import PROCESSING, card, cell, over, sold, variant

REGISTRY = MeterRegistry(DEFAULT_METERS)
SPLITTER = Splitter(REGISTRY)

# The lattice of input: cached, audio, and both; and of output.
LEAVES = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "input_audio_tokens",
    "cache_audio_read_tokens",
    "output_tokens",
    "output_reasoning_tokens",
)
ROOTS = ("input_tokens", "output_tokens")

leaf_counts = st.dictionaries(st.sampled_from(LEAVES), st.integers(0, 10**12)).map(
    lambda found: {**dict.fromkeys(ROOTS, 0), **found}
)

CELL = {
    "input_tokens": "2.5",
    "cache_read_tokens": "1.25",
    "cache_write_5m_tokens": "3.125",
    "input_audio_tokens": "40",
    "cache_audio_read_tokens": "2.5",
    "output_tokens": "10",
}
CARD = card(
    CardVersion(
        cell(CELL, over("200000", dict.fromkeys(CELL, "20"))),
        context=(PROCESSING,),
        variants=(variant({"input_tokens": "1"}, ("*",), processing="batch"),),
        parts_at_whole_rate=("*",),
    )
)
SOLD = card(CardVersion(Cell((Rate("input_tokens", "1", "3"), Rate("events", "0.01")))))
BOOK = sold([SOLD], [CARD])


def inclusive(leaves: Mapping[str, int]) -> dict[str, str]:
    """What a provider that counts inclusively reports for these leaves."""
    return {
        meter: str(
            sum(count for leaf, count in leaves.items() if leaf == meter or leaf in REGISTRY.parts(meter))
        )
        for meter in leaves
    }


def exclusive(leaves: Mapping[str, int]) -> dict[str, str]:
    return {meter: str(count) for meter, count in leaves.items()}


def rated(usage: Mapping[str, str], semantics: str, context: Mapping[str, str] | None = None) -> Rating:
    return rate(BOOK, Call("acme", "p", "m", 0, usage, semantics, context or {}))


@given(leaf_counts)
def test_inclusive_counts_split_back_into_their_leaves(leaves: dict[str, int]) -> None:
    plan, quantities = SPLITTER.split("inclusive", inclusive(leaves))
    assert {m: q // ATTO for m, q in zip(plan.meters, quantities, strict=True)} == leaves


@given(leaf_counts)
def test_leaves_sum_to_the_whole(leaves: dict[str, int]) -> None:
    usage = inclusive(leaves)
    plan, quantities = SPLITTER.split("inclusive", usage)
    assert sum(quantities) == sum(int(usage[root]) for root in ROOTS) * ATTO
    assert set(plan.meters) == set(usage)


@given(leaf_counts, st.sampled_from([{}, {"processing": "batch"}]))
def test_both_ways_of_counting_cost_the_same(leaves: dict[str, int], context: dict[str, str]) -> None:
    assert rated(inclusive(leaves), "inclusive", context) == rated(exclusive(leaves), "exclusive", context)


@given(leaf_counts, st.data())
def test_the_order_of_usage_and_context_changes_nothing(leaves: dict[str, int], data: st.DataObject) -> None:
    usage = {**inclusive(leaves), "zebras": "1", "apples": "2"}
    shuffled = dict(data.draw(st.permutations(list(usage.items()))))
    context = {"processing": "batch", "strange": "1"}
    assert rated(usage, "inclusive", context) == rated(shuffled, "inclusive", dict(reversed(context.items())))


@given(st.lists(st.tuples(leaf_counts, st.booleans()), max_size=8))
def test_a_rating_depends_on_nothing_rated_before(calls: list[tuple[dict[str, int], bool]]) -> None:
    """The remembered plans and cells hold nothing of a call: any order, and a new book, give the same
    ratings.
    """
    named = [(exclusive(leaves), {"processing": "batch"} if batch else {}) for leaves, batch in calls]
    first = [rated(usage, "exclusive", context) for usage, context in named]
    again = [rated(usage, "exclusive", context) for usage, context in reversed(named)]
    fresh = sold([SOLD], [CARD])
    anew = [rate(fresh, Call("acme", "p", "m", 0, usage, "exclusive", context)) for usage, context in named]
    assert first == again[::-1]
    assert [[line[1:] for line in rating.lines] for rating in first] == [
        [line[1:] for line in rating.lines] for rating in anew
    ]
    assert [[line.explain for line in rating.lines] for rating in first] == [
        [line.explain for line in rating.lines] for rating in anew
    ]


@given(leaf_counts, st.sampled_from(["m", "unknown"]), st.booleans())
def test_no_leaf_is_lost_and_sums_are_those_of_the_lines(
    leaves: dict[str, int], model: str, batch: bool
) -> None:
    context = {"processing": "batch"} if batch else {}
    rating = rate(
        BOOK, Call("acme", "p", model, 0, {**exclusive(leaves), "zebras": "1"}, "exclusive", context)
    )
    for side, total in (("cost", rating.cost), ("price", rating.price)):
        lines = [line for line in rating.lines if line.side == side]
        meters = [line.meter for line in lines if line.meter != "events"]
        assert meters == [meter for meter, _ in rating.leaves]
        assert set(meters) == {*leaves, "zebras"}
        priced = [line.amount_atto for line in lines if line.amount_atto is not None]
        assert total.amount_atto in (None, sum(priced))
        assert (total.amount_atto is None) == (total.status == "unpriced") == (total.currency is None)
        assert all((line.amount_atto is None) == (line.status == "unpriced") for line in lines)


@given(leaf_counts, st.integers(1, 10**9))
def test_each_amount_is_quantity_times_rate_over_per(leaves: dict[str, int], nanos: int) -> None:
    usage = {**exclusive(leaves), "output_tokens": format_atto(nanos * 10**9)}
    for line in rated(usage, "exclusive").lines:
        if line.rate is not None and line.per is not None:
            exact = Fraction(line.quantity_atto, ATTO) * Fraction(line.rate) / Fraction(line.per)
            assert line.amount_atto == round(exact * ATTO)


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**30))
def test_rounding_is_that_of_fractions(numerator: int, denominator: int) -> None:
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**20), 10**20))
def test_a_half_goes_to_the_even(number: int) -> None:
    assert round_half_even(2 * number + 1, 2) == round(Fraction(2 * number + 1, 2))


@given(st.integers(0, LIMIT - 1))
def test_what_is_written_is_read_back(atto: int) -> None:
    text = format_atto(atto)
    assert parse_decimal(text, "x") == atto
    assert format_atto(-atto) == (f"-{text}" if atto else "0")
    assert "." not in text or not text.endswith("0")


@given(st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,18})?", fullmatch=True))
def test_reading_is_exact(text: str) -> None:
    assert Fraction(parse_decimal(text, "x"), ATTO) == Fraction(text)


THIRDS = sold([card(CardVersion(Cell((Rate("dbus", "2.5", "7"), Rate("credits", "0.13", "1000000")))))])


@given(st.lists(st.integers(0, 10**24), min_size=1, max_size=9))
def test_parts_sum_to_the_whole(parts: list[int]) -> None:
    """Exactly where the rate ends within 18 places, else within half a unit of the last for each line."""

    def amounts(meter: str, attos: list[int]) -> list[int]:
        calls = [Call("acme", "p", "m", 0, {meter: format_atto(q)}, "exclusive") for q in attos]
        return [rating.price.amount_atto or 0 for rating in (rate(THIRDS, call) for call in calls)]

    whole = [sum(parts)]
    even = [part * 10**8 for part in parts if part < 10**16] or [0]
    assert sum(amounts("credits", even)) == amounts("credits", [sum(even)])[0]
    away = abs(sum(amounts("dbus", parts)) - amounts("dbus", whole)[0])
    assert 2 * away <= len(parts) + 1
