"""Which time zone a customer's windows are in: that of the contract at the instant."""

from pricing.cards import Assignment, BookContent, Contract, PriceCard
from pricing.compile import compile_book

_CARD = PriceCard("list", ())


def test_the_zone_is_that_of_the_contract_in_force_and_utc_without_one() -> None:
    contracts = (
        Contract("here", "USD", ("list",), billing_period="month", zone="+02:00"),
        Contract("there", "USD", ("list",), billing_period="month", zone="-03:30"),
    )
    assignments = (Assignment("acme", "here", 1_000, 2_000), Assignment("acme", "there", 2_000, None))
    content = BookContent(price_cards=(_CARD,), contracts=contracts, assignments=assignments)
    book = compile_book(content, 1, "hash")
    zones = [book.zone_of("acme", at_us).name for at_us in (999, 1_000, 1_999, 2_000)]
    assert zones == ["UTC", "+02:00", "+02:00", "-03:30"]
    assert book.zone_of("other", 1_500).name == "UTC"
