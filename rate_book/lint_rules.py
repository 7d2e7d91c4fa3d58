"""The soft rules of a book, by name: `rate_book.lint` says where one is broken, a version may accept it."""

LINT_RULES = {
    "cache_read_above_input": "reading from a cache costs no more than fresh input",
    "cache_write_below_input": "writing to a cache costs no less than fresh input",
    "step_below_base": "a step costs no less than what is below it",
    "meter_missing": "a meter that the base prices has a price, or is inherited, in each variant and step",
    "combination_missing": "each combination of the declared context values has a price",
    "gap": "dated prices follow each other without a gap",
    "pool_tiers": "the rates of a pool's tiers go one way only, down or up",
    "below_cost": "no rate is below what the same meter of the same model costs us",
    "below_target_margin": "each rate leaves the price card's target margin",
    "margin_unknown": "the margin of a price card with a target can be told: there is a rate of exchange",
}
