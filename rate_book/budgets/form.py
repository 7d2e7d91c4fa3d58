"""The files of budgets: YAML that a person writes and reviews, into `pricing.budgets`.

docs/reference/budgets.md shows every key. Reading is strict: an unknown key, a key written twice, or a value
that is not what its field holds is refused with file, budget, field, value and rule.
"""

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from pricing.budgets import (
    COST,
    EVENTS,
    EVERYBODY,
    PRICE,
    QUANTITY,
    Action,
    Budget,
    Route,
    Severity,
    Threshold,
)
from pricing.money import ATTO, parse_decimal
from pricing.windows import WINDOWS
from rate_book.budgets.content import BudgetContent
from rate_book.fields import Fields
from rate_book.form import yaml_files
from rate_book.yaml_text import read_yaml

SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
ACTIONS: Final[tuple[Action, ...]] = ("none", "soft", "hard")
THRESHOLDS_MAX: Final = 20

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID_RULE = "must be letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 100"
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_CHANNEL_RULE = "must name a channel: lower-case letters, digits, '_' and '-', at most 63"
_MEASURE_RULE = "must be price, cost, events or quantity:<meter>, as in quantity:output_tokens"
_TEXT_MAX = 1024


def shipped_budgets() -> tuple[Path, ...]:
    """The directory of the example budgets, for the customers of the example book."""
    return (Path(str(resources.files("rate_book"))) / "books" / "example_budgets",)


def load_budgets_of(paths: Sequence[Path]) -> BudgetContent:
    """The budgets that these files (or directories of files) are together.

    Raises:
        BookInvalidError: with file, budget, field, value and rule.
    """
    budgets: list[Budget] = []
    routes: tuple[Route, ...] = ()
    by_id: dict[str, str] = {}
    routed_in: str | None = None
    for file in (file for path in paths for file in yaml_files(path)):
        fields = Fields(str(file), read_yaml(file))
        if not fields.has("budgets") and not fields.has("routes"):
            raise fields.refuse("document", None, "must hold budgets, routes or both")
        if fields.has("routes") and routed_in is not None:
            rule = f"their order decides, so one file holds them all: {routed_in} does already"
            raise fields.refuse("routes", "...", rule)
        routed_in = str(file) if fields.has("routes") else routed_in
        content = read_content(fields)
        for budget in content.budgets:
            if budget.budget_id in by_id:
                rule = f"is the id of a budget in {by_id[budget.budget_id]}"
                raise fields.refuse("budget", budget.budget_id, rule)
            by_id[budget.budget_id] = str(file)
        budgets += content.budgets
        routes += content.routes
    return BudgetContent(_ordered(budgets), routes)


def content_from_plain(data: object, where: str) -> BudgetContent:
    """The content of a stored version. Raises BookInvalidError naming the place of whatever does not fit."""
    return read_content(Fields(where, data))


def read_content(fields: Fields) -> BudgetContent:
    """One document. Raises BookInvalidError."""
    with fields.inside():
        budgets: dict[str, Budget] = {}
        for item in fields.children("budgets", "budget"):
            with item.inside():
                budget = _read_budget(item)
            if budget.budget_id in budgets:
                raise item.refuse("budget", budget.budget_id, "is the id of two budgets")
            budgets[budget.budget_id] = budget
        routes = tuple(_read_route(item) for item in fields.children("routes", "route"))
    return BudgetContent(_ordered(budgets.values()), routes)


def _ordered(budgets: Iterable[Budget]) -> tuple[Budget, ...]:
    return tuple(sorted(budgets, key=lambda budget: budget.budget_id))


def _read_budget(item: Fields) -> Budget:
    budget_id = item.text("budget")
    if _ID.fullmatch(budget_id) is None:
        raise item.refuse("budget", budget_id, _ID_RULE)
    measure = _measure(item)
    limit_atto = _positive(item, "limit", item.decimal("limit"))
    return Budget(
        budget_id=budget_id,
        customers=_customers(item),
        scope=_scope(item),
        measure=measure,
        currency=_currency(item, measure),
        window=item.one_of("window", WINDOWS),
        limit_atto=limit_atto,
        thresholds=_thresholds(item, limit_atto),
        note=_bounded(item, "note", item.text_or("note", "")),
    )


def _customers(item: Fields) -> tuple[str, ...]:
    customers = item.texts("customers")
    if not customers:
        raise item.refuse("customers", None, f"is required: customer ids, or [{EVERYBODY!r}] for everybody")
    if EVERYBODY in customers and len(customers) > 1:
        raise item.refuse("customers", list(customers), f"{EVERYBODY!r} is everybody and stands alone")
    for customer in customers:
        _bounded(item, "customers", customer)
    return tuple(sorted(customers))


def _scope(item: Fields) -> tuple[tuple[str, str], ...]:
    pairs = item.pairs("scope")
    for name, value in pairs:
        _bounded(item, f"scope.{name}", value)
    return tuple(sorted(pairs))


def _measure(item: Fields) -> str:
    measure = item.text("measure")
    if measure in (PRICE, COST, EVENTS) or (measure.startswith(QUANTITY) and measure != QUANTITY):
        return measure
    raise item.refuse("measure", measure, _MEASURE_RULE)


def _currency(item: Fields, measure: str) -> str | None:
    if measure in (PRICE, COST):
        return item.text("currency")
    if item.has("currency"):
        raise item.refuse("currency", item.text("currency"), f"a budget of {measure} has none: leave it out")
    return None


def _thresholds(item: Fields, limit_atto: int) -> tuple[Threshold, ...]:
    found: list[Threshold] = []
    for position, threshold in enumerate(item.children("thresholds", "at")):
        with threshold.inside():
            read = _read_threshold(threshold, limit_atto)
        if found and read.amount_atto <= found[-1].amount_atto:
            rule = f"must be a higher amount than {found[-1].name} before it: thresholds ascend, each once"
            raise threshold.refuse("at" if read.share is not None else "amount", read.name, rule)
        if position >= THRESHOLDS_MAX:
            raise item.refuse("thresholds", read.name, f"at most {THRESHOLDS_MAX}")
        found.append(read)
    if not found:
        raise item.refuse("thresholds", None, "is required: at least one, as in [{at: 100%}]")
    return tuple(found)


def _read_threshold(item: Fields, limit_atto: int) -> Threshold:
    if item.has("at") == item.has("amount"):
        value = "both" if item.has("at") else None
        raise item.refuse("at", value, "must say `at` (a percentage of the limit) or `amount`, one of them")
    if item.has("at"):
        text = item.text("at")
        if not text.endswith("%"):
            raise item.refuse("at", text, "must be a percentage of the limit, as in 80%")
        share = item.as_decimal("at", text.removesuffix("%"))
        amount_atto, rest = divmod(limit_atto * parse_decimal(share, "at"), 100 * ATTO)
        if rest:
            rule = "of this limit has more than 18 digits after the point; say `amount` instead"
            raise item.refuse("at", text, rule)
        name = f"{share}%"
    else:
        share, text = None, item.decimal("amount")
        amount_atto, name = parse_decimal(text, "amount"), text
    if amount_atto <= 0:
        raise item.refuse("at" if share is not None else "amount", text, "must be more than 0")
    return Threshold(
        name=name,
        amount_atto=amount_atto,
        share=share,
        action=item.one_of("action", ACTIONS, "none"),
        severity=item.one_of("severity", SEVERITIES, "warning"),
        channels=_channels(item),
    )


def _read_route(item: Fields) -> Route:
    with item.inside():
        severities = item.texts("severity")
        for word in severities:
            if word not in SEVERITIES:
                raise item.refuse("severity", word, f"must be of {', '.join(SEVERITIES)}")
        customers = tuple(sorted(item.texts("customers")))
        if EVERYBODY in customers:
            raise item.refuse("customers", EVERYBODY, "leave it out for everybody")
        channels = _channels(item)
        if not channels:
            raise item.refuse("channels", None, "is required: at least one")
    return Route(
        channels=channels,
        customers=customers,
        severities=tuple(word for word in SEVERITIES if word in severities),
    )


def _channels(item: Fields) -> tuple[str, ...]:
    channels = item.texts("channels")
    for channel in channels:
        if _CHANNEL.fullmatch(channel) is None:
            raise item.refuse("channels", channel, _CHANNEL_RULE)
    return tuple(sorted(channels))


def _positive(item: Fields, field: str, text: str) -> int:
    atto = parse_decimal(text, field)
    if atto <= 0:
        raise item.refuse(field, text, "must be more than 0")
    return atto


def _bounded(item: Fields, field: str, text: str) -> str:
    if len(text) > _TEXT_MAX or not text.isprintable():
        raise item.refuse(field, text, f"must be printable text of at most {_TEXT_MAX} characters")
    return text
