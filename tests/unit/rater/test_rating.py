"""What the rater's tools keep from one confirmation of the book to the next."""

from rate_book.source import Confirmed
from rater.adapters.rating import Toolbox
from tests.unit.rater.corrected import BOOKS


def test_a_book_confirmed_again_keeps_its_memos_and_moves_the_horizon() -> None:
    toolbox = Toolbox(lambda _key: 0)
    first = toolbox.tools(Confirmed(BOOKS[1], 1_000, 10))
    again = toolbox.tools(Confirmed(BOOKS[1], 6_000, 10))
    assert (first.horizon_us, again.horizon_us) == (1_010, 6_010)
    assert again.columns is first.columns


def test_another_book_begins_anew() -> None:
    toolbox = Toolbox(lambda _key: 0)
    first = toolbox.tools(Confirmed(BOOKS[1], 1_000, 10))
    then = toolbox.tools(Confirmed(BOOKS[2], 1_000, 10))
    assert (first.book_version, then.book_version) == (1, 2)
    assert then.columns is not first.columns
