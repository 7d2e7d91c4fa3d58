"""The index of what cards match says the same as comparing every card with every other."""

from hypothesis import given
from hypothesis import strategies as st

from pricing.cards import ModelAlias, ModelPrefix, RateCard
from rate_book.overlap import CardNames, Matching

texts = st.sampled_from(("", "a", "ab", "abc", "B", "ba", "AB"))
names = texts.filter(bool)


@st.composite
def cards(draw: st.DrawFn) -> tuple[RateCard, ...]:
    return tuple(
        RateCard(
            f"card {number}",
            draw(st.sampled_from(("p", "P", "q", None))),
            "USD",
            (),
            tuple(draw(st.lists(names, max_size=2))),
            tuple(ModelPrefix(text) for text in draw(st.lists(texts, max_size=2))),
        )
        for number in range(draw(st.integers(0, 5)))
    )


aliases = st.lists(st.builds(ModelAlias, st.sampled_from(("p", "q")), names, names), max_size=3)


def overlap(card: RateCard, other: RateCard, known: list[ModelAlias]) -> bool:
    """Two cards, pair by pair of their names and prefixes."""
    scopes = {provider.lower() for provider in (card.provider, other.provider) if provider is not None}
    if len(scopes) == 2:
        return False
    mine, others = all_names(card, known), all_names(other, known)
    prefixes = [item.prefix.lower() for item in card.prefixes]
    other_prefixes = [item.prefix.lower() for item in other.prefixes]
    return (
        any(name == theirs for name in mine for theirs in others)
        or any(name.startswith(prefix) for name in mine for prefix in other_prefixes)
        or any(name.startswith(prefix) for name in others for prefix in prefixes)
        or any(a.startswith(b) or b.startswith(a) for a in prefixes for b in other_prefixes)
    )


def all_names(card: RateCard, known: list[ModelAlias]) -> list[str]:
    """A card's names and the aliases of models that it matches."""
    own = [name.lower() for name in card.models]
    return own + [
        alias.alias.lower()
        for alias in known
        if card.provider is None or card.provider.lower() == alias.provider.lower()
        if alias.model.lower() in own
        or any(alias.model.lower().startswith(item.prefix.lower()) for item in card.prefixes)
    ]


@given(cards(), cards(), aliases)
def test_the_index_says_the_same_as_each_pair(
    held: tuple[RateCard, ...], asked: tuple[RateCard, ...], known: list[ModelAlias]
) -> None:
    index = CardNames(held, Matching(known))
    for card in (*asked, *held):
        for but in (None, *held):
            expected = any(overlap(card, other, known) for other in held if other is not but)
            assert index.overlapping(card, but) == expected
