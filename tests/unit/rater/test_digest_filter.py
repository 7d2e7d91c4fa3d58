"""The filter in front of the state: it may say yes too often, never no."""

import random

from hypothesis import given
from hypothesis import strategies as st

from rater.adapters.digest_filter import DigestFilter

DIGESTS = st.lists(st.binary(min_size=16, max_size=16), max_size=60)


def digests(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(16 * count)


@given(st.lists(st.tuples(DIGESTS, st.integers(min_value=0, max_value=5))))
def test_what_was_added_is_never_denied(batches: list[tuple[list[bytes], int]]) -> None:
    # 64 bits hold 6 digests, so that generations come and go.
    known = DigestFilter(first_bits=64)
    for batch, bucket in batches:
        known.add(b"".join(batch), bucket)
    added = b"".join(digest for batch, _ in batches for digest in batch)
    assert known.maybe(added).all()


@given(st.lists(st.tuples(DIGESTS, st.integers(min_value=0, max_value=5))), st.integers(0, 5))
def test_what_has_not_expired_is_never_denied(batches: list[tuple[list[bytes], int]], oldest: int) -> None:
    known = DigestFilter(first_bits=64)
    for batch, bucket in batches:
        known.add(b"".join(batch), bucket)
    known.drop_expired(lambda bucket: bucket < oldest)
    live = b"".join(digest for batch, bucket in batches if bucket >= oldest for digest in batch)
    assert known.maybe(live).all()


def test_false_positives_are_few_however_much_is_added_at_once() -> None:
    """A restart adds whole buckets: 300,000 digests, three times what the first generation is made for."""
    for pieces in (1, 30):
        known = DigestFilter()
        for piece in range(pieces):
            known.add(digests(piece, 300_000 // pieces), 0)
        false = int(known.maybe(digests(999, 20_000)).sum())
        assert false < 600, f"{false} of 20,000 in {pieces} pieces"  # 3 %


def test_an_empty_filter_denies_everything_and_takes_nothing() -> None:
    known = DigestFilter()
    known.add(b"", 0)
    assert not known.maybe(digests(1, 100)).any()
    assert known.maybe(b"").tolist() == []


def test_expired_generations_are_dropped_and_their_memory_with_them() -> None:
    known = DigestFilter(first_bits=1 << 10)
    before = known.bytes_used
    known.add(digests(1, 102), 1)  # 1,024 bits at 10 a digest: full
    known.add(digests(2, 10), 2)
    assert known.bytes_used == 9 * before  # each generation is 8 times the one before
    known.drop_expired(lambda bucket: bucket < 2)
    assert known.bytes_used == 8 * before
    assert not known.maybe(digests(1, 102)).all()
    assert known.maybe(digests(2, 10)).all()


def test_the_newest_generation_stays_even_when_all_has_expired() -> None:
    known = DigestFilter()
    known.add(digests(1, 5), 1)
    known.drop_expired(lambda _bucket: True)
    known.add(digests(2, 5), 2)
    assert known.maybe(digests(2, 5)).all()
