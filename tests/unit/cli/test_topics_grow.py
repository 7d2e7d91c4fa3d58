"""Small things of `ratestream topics grow`: names, and whether the ledger has everybody."""

import pytest

from cli.topics_grow import next_prefix
from ledger.adapters.generations import check_contiguous
from runtime.errors import FindingError


@pytest.mark.parametrize(
    ("prefix", "following"),
    [
        ("", "g2."),
        ("g2.", "g3."),
        ("g9.", "g10."),
        ("prod.", "prod.g2."),
        ("prod.g2.", "prod.g3."),
        ("a", "ag2."),
    ],
)
def test_the_next_generation_has_the_next_number(prefix: str, following: str) -> None:
    assert next_prefix(prefix) == following


def test_a_ledger_with_everybody_is_enough() -> None:
    check_contiguous({"a": 3, "b": 1}, {"a": 3})


@pytest.mark.parametrize("held", [{}, {"a": 2}, {"a": 4}])
def test_a_ledger_that_is_behind_or_knows_more_is_refused(held: dict[str, int]) -> None:
    with pytest.raises(FindingError, match=r"customer 'a': the ledger has .* the rater gave 3"):
        check_contiguous(held, {"a": 3})
