"""murmur2 as Kafka's Java client has it."""

import pytest

from schemas.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ],
)
def test_the_vectors_of_kafkas_own_tests(key: bytes, signed: int) -> None:
    """From org.apache.kafka.common.utils.UtilsTest; Java's int is signed."""
    assert murmur2(key) == signed % 2**32


def test_a_negative_hash_loses_its_sign_bit_before_the_remainder() -> None:
    """foobar: -790,332,482 without the sign bit is 1,357,151,166; modulo 24 that is 6, modulo 4 it is 2."""
    assert partition_of(b"foobar", 24) == 6
    assert partition_of(b"foobar", 4) == 2
