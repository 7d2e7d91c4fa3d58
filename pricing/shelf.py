"""Where a book of many years keeps what few calls need."""

from typing import Protocol

from pricing.cards import RateCard


class Shelf(Protocol):
    """Gives the cards of one version of the book their dated versions when a call first needs them.

    `group` is "" for provider cards, else the id of the price card. An error that a shelf raises goes through
    to who rates: without the card nothing can be said of the call.
    """

    @property
    def loaded_from_us(self) -> int:
        """`recent` is enough for calls at this instant or later."""

    def recent(self, group: str, card_id: str) -> RateCard:
        """The card with its versions in force at `loaded_from_us` or later, and the one before a gap."""

    def whole(self, group: str, card_id: str) -> RateCard:
        """The card with all its versions."""
