"""Rates and cells as they stand in a file: `RATE`, `RATE per PER`, a mapping with quantity rules, a pool, a
matrix.
"""

from collections.abc import Iterator

from pricing.cards import ALL, Cell, ContextKey, Rate, Step, Thresholds, TileRule, Variant
from rate_book.fields import Fields

PER_WORD = " per "
_WRITTEN = f"; a rate is written like 2.5 or 2.5{PER_WORD}1000000"


def read_cell(fields: Fields) -> Cell:
    """The keys `rates` and `thresholds`."""
    rates = _rates(fields)
    if not fields.has("thresholds"):
        return Cell(rates)
    with fields.child("thresholds").inside() as inner:
        return Cell(
            rates,
            Thresholds(
                steps=tuple(_step(item) for item in inner.children("steps", "start")),
                selector=inner.text_or("selector", "input_tokens"),
                operator=inner.one_of("operator", ("gt", "gte"), "gt"),
            ),
        )


def _step(fields: Fields) -> Step:
    with fields.inside():
        return Step(fields.decimal("start"), _rates(fields), fields.texts("inherit"))


def _rates(fields: Fields) -> tuple[Rate, ...]:
    return tuple(
        _rate(fields, f"rates.{meter}", meter, value) for meter, value in fields.named_values("rates")
    )


def _rate(fields: Fields, name: str, meter: str, value: object) -> Rate:
    if isinstance(value, str):
        return Rate(meter, *read_rate_text(fields, name, value))
    with fields.under(name, value).inside() as inner:
        minimum, increment = inner.optional_decimal("minimum"), inner.optional_decimal("increment")
        tiles = _tiles(inner.child("tiles")) if inner.has("tiles") else None
        if inner.has("pool") == inner.has("rate"):
            raise inner.refuse("rate", None, "a rate has either `rate` or `pool`")
        if inner.has("pool"):
            return Rate(meter, minimum=minimum, increment=increment, tiles=tiles, pool=inner.text("pool"))
        rate, per = read_rate_text(inner, "rate", inner.text("rate"))
        return Rate(meter, rate, per, minimum, increment, tiles)


def read_rate_text(fields: Fields, name: str, text: str) -> tuple[str, str]:
    """`RATE` or `RATE per PER` as (rate, per)."""
    if not text:
        raise fields.refuse(name, text, "must be text, not empty")
    rate, word, per = text.partition(PER_WORD)
    return fields.as_decimal(name, rate, _WRITTEN), fields.as_decimal(name, per if word else "1", _WRITTEN)


def _tiles(fields: Fields) -> TileRule:
    with fields.inside():
        return TileRule(
            low_tokens=fields.decimal("low"),
            base_tokens=fields.decimal("base"),
            tile_tokens=fields.decimal("tile"),
            tile_px=fields.integer("tile_px", 512),
            fit_px=fields.integer("fit_px", 2048),
            short_px=fields.integer("short_px", 768),
        )


def read_matrix(
    fields: Fields, context: tuple[ContextKey, ...]
) -> tuple[tuple[Rate, ...], tuple[Variant, ...]]:
    """A table of one meter's rates by context values: the rate of the cell whose values are all defaults, for
    the base, and a variant for each other cell. What else the base prices costs the same in each, or as
    `inherit` says.
    """
    with fields.inside():
        defaults = {key.key: key.default for key in context}
        keys = fields.texts("keys")
        for key in keys:
            if key not in defaults:
                raise fields.refuse(
                    "keys", key, "is not a context key of this version: declare it in `context`"
                )
        if not keys:
            raise fields.refuse("keys", None, "must name the context keys of the table")
        meter = fields.text("meter")
        per = fields.decimal_or("per", "1")
        inherit = fields.texts("inherit") if fields.has("inherit") else (ALL,)
        base: list[Rate] = []
        variants = []
        for values, rate in _matrix_cells(fields, keys):
            when = tuple(pair for pair in zip(keys, values, strict=True) if pair[1] != defaults[pair[0]])
            if when:
                variants.append(Variant(when, Cell((Rate(meter, rate, per),)), inherit))
            else:
                base.append(Rate(meter, rate, per))
        return tuple(base), tuple(variants)


def _matrix_cells(fields: Fields, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    cells = fields.children("cells", "values")
    if not cells:
        raise fields.refuse("cells", None, "a matrix must have a cell")
    seen = set()
    for cell in cells:
        with cell.inside():
            values = cell.text_list("values")
            if len(values) != len(keys):
                raise cell.refuse("values", list(values), f"must be one value for each of {', '.join(keys)}")
            if values in seen:
                raise cell.refuse("values", list(values), "two cells are for the same values")
            seen.add(values)
            yield values, cell.decimal("rate")
