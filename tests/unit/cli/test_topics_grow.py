"""Small things of `ratestream topics grow`: names, and whether the ledger has everybody."""

from pathlib import Path
from typing import Self

import pytest

from cli import topics_grow
from cli.topics_grow import check_not_ended, next_prefix
from ledger.adapters.generations import check_contiguous
from rater.adapters.old_generation import Ends, GenerationEnd
from runtime.errors import FindingError
from runtime.settings import KafkaSettings, SettingsLoader


@pytest.mark.parametrize(
    ("prefix", "following"),
    [
        ("", "g2."),
        ("g2.", "g3."),
        ("g9.", "g10."),
        ("prod.", "prod.g2."),
        ("prod.g2.", "prod.g3."),
        ("a", "a.g2."),
        ("log2.", "log2.g2."),
        ("dev-", "dev-g2."),
        ("dev-g2.", "dev-g3."),
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


class Ended:
    """A generation whose state was taken to g2., or to nowhere."""

    end: GenerationEnd | None = GenerationEnd("g2.", 6, "id")

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def ends(self) -> Ends:
        return Ends({}, self.end)


def test_topics_that_have_ended_are_not_opened_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(topics_grow, "OldGeneration", Ended)
    loader, kafka = SettingsLoader(tmp_path, {}), KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(FindingError, match=r"usage.events: closed, as these topics were grown to 6 .* 'g2.'"):
        check_not_ended(loader, kafka, ["usage.events"])
    monkeypatch.setattr(Ended, "end", None)
    check_not_ended(loader, kafka, ["usage.events"])
