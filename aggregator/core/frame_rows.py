"""Rows of a frame as the wire has them to rows that are folded."""

from collections.abc import Mapping, Sequence
from typing import Any

from pricing.totals import Row, parse_sum


def rows_of(dimensions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The DeltaRows of a customer; `dimensions` are the frame's names, in the order of each row's values.

    Raises ValueError where a number is not a plain decimal or the dimensions' count differs.
    """
    return [
        Row(
            row["bucket_us"],
            row["period_start_us"],
            row["period_end_us"],
            row["cost_currency"],
            row["price_currency"],
            tuple(zip(dimensions, row["dimensions"], strict=True)),
            None if (cost := row["cost"]) is None else parse_sum(cost),
            None if (price := row["price"]) is None else parse_sum(price),
            row["events"],
            row["unpriced_cost_events"],
            row["unpriced_price_events"],
            {meter: parse_sum(quantity) for meter, quantity in row["quantities"].items()},
        )
        for row in rows
    ]
