"""What a card version says beside its cells: schedules, multipliers, what is not billed, markup, words for
`lint`.
"""

from dataclasses import dataclass

from pricing.cards import ALL, ATTRIBUTE_PREFIX, UTC, Multiplier, NotBilled, Pairs, Rate, Schedule, Window
from rate_book.dimensions import ATTRIBUTE_FIELDS, is_attribute
from rate_book.fields import Fields
from rate_book.lint_rules import LINT_RULES


@dataclass(frozen=True, slots=True)
class Markup:
    """The key `markup`: a percentage on what a call costs us, a fee for each event, a least amount."""

    percent: str | None = None
    fixed: tuple[Rate, ...] = ()
    minimum: str | None = None


def known_key(fields: Fields, field: str, key: str) -> None:
    """Refuses an attribute that events do not have: nothing would ever be priced by it."""
    if key.startswith(ATTRIBUTE_PREFIX) and not is_attribute(key):
        known = ", ".join(sorted(ATTRIBUTE_FIELDS))
        rule = f"is no attribute of events: has_query, compliance.TAG, tag.NAME, {known}"
        raise fields.refuse(field, key, rule)


def read_schedule(fields: Fields) -> Schedule:
    with fields.inside():
        return Schedule(
            key=fields.text("key"),
            default=fields.text("default"),
            windows=tuple(_window(item) for item in fields.children("windows", "value")),
            zone=fields.text_or("zone", UTC),
            holidays=fields.texts("holidays"),
        )


def _window(fields: Fields) -> Window:
    with fields.inside():
        return Window(fields.text("value"), fields.text("from"), fields.text("to"), fields.texts("days"))


def read_multiplier(fields: Fields) -> Multiplier:
    with fields.inside():
        return Multiplier(
            name=fields.text("name"),
            factor=fields.decimal("factor"),
            when=fields.pairs("when"),
            meters=fields.texts("meters") if fields.has("meters") else (ALL,),
        )


def read_not_billed(fields: Fields) -> NotBilled:
    with fields.inside():
        when = fields.pairs("when")
        for key, _ in when:
            known_key(fields, "when", key)
        return NotBilled(when, fields.texts("without"))


def read_markup(fields: Fields) -> Markup:
    """The keys `markup` and `minimum` of a version; the least amount stands in one of them."""
    minimum = fields.optional_decimal("minimum")
    if not fields.has("markup"):
        return Markup(minimum=minimum)
    with fields.child("markup").inside() as inner:
        if minimum is not None and inner.has("minimum"):
            raise inner.refuse("minimum", inner.text("minimum"), "the version has a `minimum` already")
        fixed = (Rate("events", inner.decimal("fixed")),) if inner.has("fixed") else ()
        return Markup(inner.decimal("percent"), fixed, inner.optional_decimal("minimum") or minimum)


def read_accepted(fields: Fields) -> Pairs:
    """Rules of `lint` that this version breaks, each with why that is right."""
    accepted = fields.pairs("accepted")
    for rule, _ in accepted:
        if rule not in LINT_RULES:
            raise fields.refuse("accepted", rule, f"must be one of {', '.join(LINT_RULES)}")
    return accepted
