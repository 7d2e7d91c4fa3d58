"""A variant with a threshold of its own beside inherited meters."""

from pricing.cards import CardVersion, Cell, Rate, Step, Thresholds, Variant
from tests.unit.pricing.build import PROCESSING, book, card, cost

BATCH = Variant(
    (("processing", "batch"),),
    Cell(
        (Rate("input_tokens", "5"), Rate("output_tokens", "10")),
        Thresholds((Step("100", (Rate("input_tokens", "6"),)),)),
    ),
    inherit=("*",),
)
BOOK = book(
    card(
        CardVersion(
            Cell((Rate("input_tokens", "10"), Rate("output_tokens", "20"))),
            context=(PROCESSING,),
            variants=(BATCH,),
        )
    )
)


def test_a_meter_that_the_variant_prices_never_falls_back_to_the_standard_price() -> None:
    """Up to 100 batch output costs 10; over it the variant names no rate: no price, not the standard 20."""
    context = {"processing": "batch"}
    below = cost(BOOK, {"input_tokens": "100", "output_tokens": "1"}, context=context)
    assert [line.rate for line in below.lines] == ["5", "10"]
    above = cost(BOOK, {"input_tokens": "101", "output_tokens": "1"}, context=context)
    assert [(line.rate, line.status) for line in above.lines] == [("6", "priced"), (None, "unpriced")]
    assert above.cost.status == "partial"
