"""Every target of the fuzzer on a few inputs, the same in each run; `make fuzz` goes on for longer."""

from itertools import islice

import pytest

from tests.fuzz.mutate import inputs
from tests.fuzz.targets import TARGETS

FEW = {"columns": 150, "book": 150, "budgets": 250, "settings": 300, "commands": 45}
MANY = 1_500


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_inputs_are_taken_or_refused(name: str) -> None:
    target = TARGETS[name]
    taken = sum(target.takes(data) for data in islice(inputs(target, seed=7), FEW.get(name, MANY)))
    assert taken > 0


def test_inputs_are_the_same_for_the_same_seed() -> None:
    target = TARGETS["codec"]
    assert list(islice(inputs(target, 3), 200)) == list(islice(inputs(target, 3), 200))
    assert list(islice(inputs(target, 3), 200)) != list(islice(inputs(target, 4), 200))
