"""Counts taken apart, against the oracle: by hand, and made up so that wholes and parts are often equal."""

import random
from collections import Counter
from fractions import Fraction

import pytest

from pricing.errors import UsageError
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.money import ATTO
from pricing.split import Splitter
from tests.oracle.meters import METERS, Impossible, split


@pytest.mark.parametrize(
    ("usage", "leaves"),
    [
        # All input is text, so the 40 cached are text: 60 of text are left, and nothing besides.
        ("input 100, text 100, read 40", "input 0, text 60, read 0, text_read 40"),
        # All input was cached, so the audio was.
        ("input 100, audio 30, read 100", "input 0, audio 0, read 70, audio_read 30"),
        # All output was spoken, so the reasoning was.
        ("output 10, speech 10, thought 2", "output 0, speech 8, thought 0, spoken_thought 2"),
        # Nothing forces an overlap: it counts as 0.
        ("input 100, audio 30, read 40", "input 30, audio 30, read 40"),
        ("input 100, text 80, audio 20, read 40", "impossible"),
        ("read 40", "impossible"),
        ("read 0", "read 0"),
    ],
)
def test_the_oracle_and_pricing_take_counts_apart_as_by_hand(usage: str, leaves: str) -> None:
    names = {
        "input": "input_tokens",
        "text": "input_text_tokens",
        "audio": "input_audio_tokens",
        "read": "cache_read_tokens",
        "text_read": "cache_text_read_tokens",
        "audio_read": "cache_audio_read_tokens",
        "output": "output_tokens",
        "speech": "output_audio_tokens",
        "thought": "output_reasoning_tokens",
        "spoken_thought": "output_audio_reasoning_tokens",
    }

    def counts(words: str) -> dict[str, str]:
        return {names[name]: count for name, count in (word.split() for word in words.split(", "))}

    if leaves == "impossible":
        with pytest.raises(Impossible):
            split("inclusive", counts(usage))
        with pytest.raises(UsageError):
            Splitter(MeterRegistry(DEFAULT_METERS)).split("inclusive", counts(usage))
        return
    expected_leaves = {meter: Fraction(count) for meter, count in counts(leaves).items()}
    assert split("inclusive", counts(usage)) == expected_leaves
    plan, ours = Splitter(MeterRegistry(DEFAULT_METERS)).split("inclusive", counts(usage))
    assert {m: Fraction(q, ATTO) for m, q in zip(plan.meters, ours, strict=True)} == expected_leaves


def test_the_oracle_and_pricing_take_made_up_counts_apart_alike() -> None:
    """Every token meter that the oracle knows, in small counts, so that wholes and parts are often equal."""
    chance = random.Random(5)
    splitter = Splitter(MeterRegistry(DEFAULT_METERS))
    tokens = [meter for meter in METERS if meter.endswith("_tokens")]
    outcomes: Counter[str] = Counter()
    for _ in range(10_000):
        total = chance.choice((0, 3, 10))
        usage = {
            meter: str(chance.choice((0, 1, 2, 3, total, total)))
            for meter in chance.sample(tokens, chance.randint(1, 5))
        }
        if chance.random() < 0.85:
            usage |= {"input_tokens": str(chance.choice((total, 10))), "output_tokens": str(total)}
        try:
            theirs = split("inclusive", usage)
        except Impossible:
            with pytest.raises(UsageError):
                splitter.split("inclusive", usage)
            outcomes["impossible"] += 1
            continue
        plan, ours = splitter.split("inclusive", usage)
        assert {m: Fraction(q, ATTO) for m, q in zip(plan.meters, ours, strict=True)} == theirs, usage
        outcomes["output settled"] += any(m.startswith("output") and m not in usage for m in theirs)
        outcomes["cached settled"] += any(m.startswith("cache") and m not in usage for m in theirs)
    for outcome in ("impossible", "output settled", "cached settled"):
        assert outcomes[outcome] > 20, outcomes
