"""Digests of identity and content, and how a frame packs them."""

from hashlib import blake2b

import pytest

from rater.core.identity import (
    ENTRY_BYTES,
    Known,
    content_digest,
    identity_digest,
    pack_entry,
    unpack_entries,
)


def test_the_identity_is_length_prefixed_utf8_in_blake2b_128() -> None:
    # "kü" is 3 bytes of UTF-8; each length stands before its text in 4 bytes, the highest first.
    by_hand = (
        b"\x00\x00\x00\x03k\xc3\xbc"  # customer_id
        b"\x00\x00\x00\x02s1"  # source
        b"\x00\x00\x00\x00"  # event_id "", which the wire's rules refuse but a digest must tell apart
    )
    assert identity_digest("kü", "s1", "") == blake2b(by_hand, digest_size=16).digest()


def test_a_known_answer_never_changes() -> None:
    # computed once outside the project: printf '\0\0\0\1a\0\0\0\1b\0\0\0\1c' | b2sum -l 128
    assert identity_digest("a", "b", "c").hex() == "767578ba3abb375e42299c972864a183"
    # printf 'abc' | b2sum -l 64
    assert content_digest(b"abc").hex() == "d8bb14d833d59559"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c", "d"), ("a", "bc", "d")),
        (("a", "bc", "d"), ("a", "b", "cd")),
        (("a", "", "b"), ("a", "b", "")),
        (("a\x00\x00\x00\x01b", "c", "d"), ("a", "b", "cd")),
    ],
)
def test_no_two_identities_share_an_encoding(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert identity_digest(*one) != identity_digest(*other)


def test_content_is_the_whole_value_in_blake2b_64() -> None:
    assert content_digest(b"\xc3\x01xyz") == blake2b(b"\xc3\x01xyz", digest_size=8).digest()
    assert content_digest(b"a") != content_digest(b"a\x00")


def test_an_entry_is_digest_content_and_offset_big_endian() -> None:
    packed = pack_entry(b"d" * 16, b"c" * 8, 258)
    assert packed == b"d" * 16 + b"c" * 8 + b"\x00\x00\x00\x00\x00\x00\x01\x02"
    assert len(packed) == ENTRY_BYTES == 32


def test_entries_come_back_in_order() -> None:
    packed = pack_entry(b"2" * 16, b"c" * 8, 0) + pack_entry(b"1" * 16, b"d" * 8, 2**63 - 1)
    assert list(unpack_entries(packed)) == [
        (b"2" * 16, Known(b"c" * 8, 0)),
        (b"1" * 16, Known(b"d" * 8, 2**63 - 1)),
    ]
    assert list(unpack_entries(b"")) == []


def test_a_block_that_is_no_whole_number_of_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="33 bytes; it must be a multiple of 32"):
        list(unpack_entries(b"x" * 33))
