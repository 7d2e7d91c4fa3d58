"""The hand-written encoder gives the codec's bytes, for real cards and whatever a rating may hold."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pricing.cards import BookContent
from pricing.compile import CompiledBook, compile_book
from pricing.compiled import LineTemplate
from pricing.errors import UsageError
from pricing.rate import Call, Line, PoolBefore, Rating, Side, rate
from rate_book.encode import encode_rating
from rate_book.translate import rating_record
from schemas.codec import CODEC

EMPTY = compile_book(BookContent(), 7, "ab" * 32)

amounts = st.one_of(st.none(), st.integers(0, 10**38 - 1), st.integers(1 - 10**38, -1))
names = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=80))
currencies = st.sampled_from((None, "USD", "EUR"))
sides = st.builds(Side, st.sampled_from(("unpriced", "partial", "priced", "included")), amounts, currencies)
templates = st.builds(
    LineTemplate,
    side=st.sampled_from(("cost", "price")),
    meter=st.text("abc_é", max_size=70),
    status=st.sampled_from(("unpriced", "priced", "included")),
    explain=st.text(max_size=200),
    rate=names,
    per=names,
    currency=currencies,
    card=names,
    version=names,
)
lines = st.builds(Line, templates, st.integers(1 - 10**38, 10**38 - 1), amounts, amounts)
longs = st.integers(-(2**62), 2**62)
pools = st.builds(
    PoolBefore,
    st.text(max_size=9),
    longs,
    longs,
    st.integers(0, 10**38 - 1),
    st.integers(-(10**30), 10**30),
    st.just("USD"),
)
ratings = st.builds(
    Rating,
    sides,
    sides,
    st.lists(lines, max_size=5).map(tuple),
    st.just(()),
    st.tuples(longs, longs),
    st.lists(pools, max_size=3).map(tuple),
)


@given(
    ratings,
    st.integers(1, 2**62),
    st.sampled_from(("original", "reversal", "replacement")),
    st.integers(0, 300),
    names,
)
def test_any_rating_gives_the_codecs_bytes(
    rating: Rating, seq: int, leg: str, revision: int, correction: str | None
) -> None:
    record = rating_record(
        rating, EMPTY, customer_seq=seq, leg=leg, revision=revision, correction_id=correction
    )
    expected = CODEC.encode_body("Rating", record)
    for _ in range(2):  # the second time from the memos
        made = encode_rating(rating, EMPTY, seq, leg=leg, revision=revision, correction_id=correction)
        assert made == expected


def test_every_shipped_card_gives_the_codecs_bytes(shipped: BookContent, shipped_book: CompiledBook) -> None:
    chance = random.Random(7)
    meters = (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_1h_tokens",
        "web_searches",
        "odd",
    )
    rated = 0
    for seq, card in enumerate(shipped.provider_cards, start=1):
        model = card.models[0] if card.models else card.prefixes[0].prefix
        usage = {meter: str(chance.randrange(10**5)) for meter in chance.sample(meters, 3)}
        context = chance.choice(({}, {"processing": "batch"}, {"service_tier": "priority"}))
        call = Call(
            chance.choice(("amber-analytics", "jade-legal", "someone")),
            card.provider or "",
            model,
            chance.randrange(1_700_000_000, 1_800_000_000) * 1_000_000,
            usage,
            chance.choice(("inclusive", "exclusive")),
            context,
        )
        try:
            rating = rate(shipped_book, call)
        except UsageError:
            continue  # parts without their whole
        rated += 1
        expected = CODEC.encode_body("Rating", rating_record(rating, shipped_book, customer_seq=seq))
        assert encode_rating(rating, shipped_book, seq) == expected
    assert rated > 1_000
