"""A mutator of our own, for where no coverage-guided fuzzer is installed: the short run in `make test`."""

import random
from collections.abc import Iterator, Sequence

from tests.fuzz.target import Target

_EDGES = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff" * 9 + b"\x01", b"0", b"-1", b"9" * 40)
_CHANGES_MAX = 6


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """First the corpus, then changed and joined inputs for ever: the same ones for the same seed."""
    rng = random.Random(f"{target.name} {seed}")
    corpus = list(target.seeds())
    yield from corpus
    words = [*_EDGES, *target.words]
    while True:
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.randint(1, _CHANGES_MAX)):
            _change(data, rng, words, corpus)
        yield bytes(data[: target.bytes_max])


def _change(data: bytearray, rng: random.Random, words: Sequence[bytes], corpus: Sequence[bytes]) -> None:
    place = rng.randrange(len(data) + 1)
    until = min(len(data), place + rng.choice((1, 1, 2, 8, 64)))
    match rng.randrange(6):
        case 0:
            del data[place:until]
        case 1:
            data[place:place] = rng.choice(words)
        case 2:
            data[place:until] = rng.choice(words)
        case 3 if place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        case 4:
            data[place:place] = data[place:until] * rng.choice((1, 2, 30))
        case _:
            other = rng.choice(corpus)
            data[place:] = other[rng.randrange(len(other) + 1) :]
