"""Files of budgets: what they say, what is refused and how it is named, and what the rate book has to say."""

import json
import re
from pathlib import Path

import pytest

from pricing.budgets import Route, Threshold
from pricing.cards import Assignment, BookContent, Contract, RateCard
from pricing.money import ATTO
from rate_book.budgets.check import check_budgets
from rate_book.budgets.content import BudgetContent, canonical_json
from rate_book.budgets.form import content_from_plain, load_budgets_of, shipped_budgets
from rate_book.errors import BookInvalidError
from rate_book.form import load_book, shipped_books

BUDGET = """
budgets:
  - budget: {name}
    customers: [{customers}]
    measure: {measure}
    window: period
    limit: {limit}
    {more}
    thresholds: [{thresholds}]
"""
GIVEN = {
    "name": "monthly", "customers": "acme", "measure": "events", "limit": "100", "more": "note: why",
    "thresholds": "{at: 80%}",
}  # fmt: skip


def text(**given: str) -> str:
    return BUDGET.format(**GIVEN | given)


def read(tmp_path: Path, *texts: str) -> BudgetContent:
    for number, each in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(each)
    return load_budgets_of([tmp_path])


def refused(tmp_path: Path, *texts: str) -> str:
    with pytest.raises(BookInvalidError) as caught:
        read(tmp_path, *texts)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_file_is_read_exactly(tmp_path: Path) -> None:
    content = read(
        tmp_path,
        text(
            customers="b, a", measure="price", limit="2.50",
            more="currency: USD\n    scope: {x: '1', f: chat}",
            thresholds="{at: 12.5%, channels: [z, a]}, {amount: 3, severity: critical, action: hard}",
        )
        + "routes: [{severity: [critical, info], channels: [log]}]\n",
    )  # fmt: skip
    (budget,) = content.budgets
    assert (budget.customers, budget.scope) == (("a", "b"), (("f", "chat"), ("x", "1")))
    assert (budget.limit_atto, budget.currency, budget.window) == (25 * ATTO // 10, "USD", "period")
    assert budget.thresholds == (
        Threshold("12.5%", 3125 * ATTO // 10_000, "12.5", "none", "warning", ("a", "z")),
        Threshold("3", 3 * ATTO, None, "hard", "critical"),
    )
    assert content.routes == (Route(("log",), (), ("info", "critical")),)


def test_the_canonical_form_is_read_back_and_does_not_depend_on_how_it_was_written(tmp_path: Path) -> None:
    one = read(tmp_path, text(limit="100.0", thresholds="{at: 80.0%}, {amount: 90, action: none}"))
    other = read(tmp_path, text(thresholds="{at: 80%, severity: warning}, {amount: 90.00}"))
    assert canonical_json(one) == canonical_json(other)
    assert content_from_plain(json.loads(canonical_json(one)), "stored") == one
    shipped = load_budgets_of(shipped_budgets())
    assert content_from_plain(json.loads(canonical_json(shipped)), "stored") == shipped


def test_the_example_of_the_reference_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "budgets.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert [budget.budget_id for budget in read(tmp_path, example).budgets] == [
        "acme-chat-monthly",
        "everybody-output",
    ]


def test_the_example_budgets_fit_the_example_book() -> None:
    check_budgets(load_budgets_of(shipped_budgets()), load_book(shipped_books()))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "a b"}, "budgets[1].budget = 'a b': must be letters, digits"),
        ({"customers": ""}, "customers = None: is required: customer ids, or ['*'] for everybody"),
        ({"customers": "a, a"}, "customers = 'a': is listed twice"),
        ({"customers": "'*', a"}, "customers = ['*', 'a']: '*' is everybody and stands alone"),
        ({"measure": "tokens"}, "measure = 'tokens': must be price, cost, events or quantity:<meter>"),
        ({"measure": "'quantity:'"}, "measure = 'quantity:': must be price"),
        ({"measure": "price"}, "currency = None: is required"),
        ({"more": "currency: USD"}, "currency = 'USD': a budget of events has none: leave it out"),
        ({"more": "window_of: day"}, "window_of = 'day': unknown key"),
        ({"more": "scope: {feature: []}"}, "scope.feature = []: must be text, not empty"),
        ({"limit": "0"}, "limit = '0': must be more than 0"),
        ({"limit": "-1"}, "limit = '-1': must be a plain decimal"),
        ({"limit": "1e3"}, "limit = '1e3': must be a plain decimal"),
        ({"thresholds": ""}, "thresholds = None: is required: at least one"),
        ({"thresholds": "{at: 80}"}, "thresholds[1].at = '80': must be a percentage of the limit, as in 80%"),
        ({"thresholds": "{at: 0%}"}, "at = '0%': must be more than 0"),
        ({"thresholds": "{amount: 0}"}, "amount = '0': must be more than 0"),
        ({"thresholds": "{severity: info}"}, "at = None: must say `at` (a percentage of the limit) or"),
        ({"thresholds": "{at: 1%, amount: 1}"}, "at = 'both': must say `at`"),
        ({"thresholds": "{at: 80%}, {amount: 80}"}, "amount = '80': must be a higher amount than 80%"),
        ({"thresholds": "{at: 80%}, {at: 50%}"}, "at = '50%': must be a higher amount than 80% before it"),
        ({"limit": "0.000000000000000001"}, "at = '80%': of this limit has more than 18 digits"),
        ({"thresholds": "{at: 1%, action: stop}"}, "action = 'stop': must be one of none, soft, hard"),
        ({"thresholds": "{at: 1%, severity: bad}"}, "severity = 'bad': must be one of info, warning"),
        ({"thresholds": "{at: 1%, channels: [A]}"}, "channels = 'A': must name a channel"),
    ],
)  # fmt: skip
def test_what_a_budget_may_not_say(tmp_path: Path, given: dict[str, str], said: str) -> None:
    answer = refused(tmp_path, text(**given))
    assert said in answer
    assert answer.startswith("0.yaml: ")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["other: 1"], "document = None: must hold budgets, routes or both"),
        (["budgets: []\nroute: []"], "route = []: unknown key"),
        ([text(), text()], "1.yaml: budget = 'monthly': is the id of a budget in"),
        (["routes: [{channels: [a]}]", "routes: [{channels: [a]}]"], "one file holds them all"),
        (["routes: [{severity: [info]}]"], "channels = None: is required: at least one"),
        (["routes: [{severity: [high], channels: [a]}]"], "severity = 'high': must be of info, warning"),
        (["routes: [{customers: ['*'], channels: [a]}]"], "customers = '*': leave it out for everybody"),
        (["budgets: {a: b}"], "budgets = {'a': 'b'}: must be a list"),
    ],
)
def test_what_files_may_not_say(tmp_path: Path, texts: list[str], said: str) -> None:
    assert said in refused(tmp_path, *texts)


def test_one_file_may_not_name_a_budget_twice(tmp_path: Path) -> None:
    twice = text() + text().partition("budgets:\n")[2]
    assert "monthly: budgets[2].budget = 'monthly': is the id of two budgets" in refused(tmp_path, twice)


BOOK = BookContent(
    provider_cards=(RateCard("p/m", "p", "USD", ()),),
    contracts=(Contract("euros", "EUR", ()), Contract("dollars", "USD", ()), Contract("coins", "COIN", ())),
    assignments=(
        Assignment("*", "euros"),
        Assignment("acme", "dollars"),
        Assignment("late", "dollars", valid_from_us=1_000),
        Assignment("both", "dollars", None, 1_000),
        Assignment("both", "coins", 1_000, None),
    ),
    dimensions=("feature", "model"),
    units=("COIN",),
)


def checked(tmp_path: Path, **given: str) -> str | None:
    try:
        check_budgets(read(tmp_path, text(**given)), BOOK)
    except BookInvalidError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("customer", "currencies"),
    [
        ("acme", {"USD"}),
        ("new", {"EUR"}),
        ("late", {"EUR", "USD"}),
        ("both", {"USD", "COIN"}),
        ("'*'", {"EUR", "USD", "COIN"}),
    ],
)
def test_a_price_is_in_a_currency_that_the_customer_pays_in(
    tmp_path: Path, customer: str, currencies: set[str]
) -> None:
    for currency in ("EUR", "USD", "COIN", "GBP"):
        answer = checked(tmp_path, customers=customer, measure="price", more=f"currency: {currency}")
        assert (answer is None) == (currency in currencies), answer
    assert f"they use {', '.join(sorted(currencies))}" in str(answer)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"measure": "price", "more": "currency: usd"}, "currency = 'usd': must be an ISO 4217 code"),
        ({"measure": "cost", "more": "currency: EUR"}, "no provider card is in it; they are in USD"),
        ({"measure": "cost", "more": "currency: USD"}, None),
        ({"measure": "quantity:tokens"}, "measure = 'quantity:tokens': no such meter"),
        ({"measure": "quantity:output_tokens"}, None),
        ({"more": "scope: {user_id: u}"}, "scope.user_id = 'u': the rate book declares no such dimension"),
        ({"more": "scope: {feature: chat, model: m}"}, None),
    ],
)
def test_what_the_rate_book_has_to_say(tmp_path: Path, given: dict[str, str], said: str | None) -> None:
    answer = checked(tmp_path, **given)
    assert answer is None if said is None else said in str(answer)


def test_a_customer_has_at_most_a_thousand_scopes_with_everybodys(tmp_path: Path) -> None:
    def scoped(customer: str, names: range) -> str:
        return "".join(
            text(name=f"b{number}", customers=customer, more=f"scope: {{feature: f{number}}}")
            .partition("budgets:\n")[2]
            for number in names
        )  # fmt: skip

    def of(own: int) -> BudgetContent:
        return read(tmp_path, "budgets:\n" + scoped("'*'", range(10)) + scoped("acme", range(10, 10 + own)))

    check_budgets(of(989), BOOK)
    with pytest.raises(BookInvalidError, match=r"customer acme: scopes = 1001: at most 1,000 scopes"):
        check_budgets(of(990), BOOK)
