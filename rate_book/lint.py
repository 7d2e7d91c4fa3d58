"""What is allowed in a book and rarely meant: cells, steps, dates, pools and margins that break a soft rule.

The rules are those of `LINT_RULES`. A version that breaks one on purpose says so in `accepted`, with why.
"""

from collections.abc import Iterator

from pricing.cards import BookContent
from rate_book.lint_cells import lint_cells
from rate_book.lint_dates import lint_card_dates, lint_exchange_dates, lint_pools
from rate_book.lint_margin import lint_margins
from rate_book.lint_remarks import Remark
from rate_book.lint_rules import LINT_RULES

__all__ = ["LINT_RULES", "Remark", "lint"]


def lint(content: BookContent) -> tuple[Remark, ...]:
    """Every remark that no version has accepted: provider cards, price cards, exchange rates, then margins.

    Raises:
        pricing.errors.BookError: the book has faults; correct them first.
    """
    return (*lint_margins(content), *_each(content))


def _each(content: BookContent) -> Iterator[Remark]:
    groups = (content.provider_cards, *(price_card.cards for price_card in content.price_cards))
    for cards in groups:
        for card in cards:
            yield from lint_cells(card)
            yield from lint_card_dates(card)
    for price_card in content.price_cards:
        yield from lint_pools(price_card)
    yield from lint_exchange_dates(content.exchange)
