"""What pricing refuses, and what the caller does about it.

PricingError
├── UsageError   this call cannot be rated: reject the event with `code`
├── CardError    one fault of a rate book: card, field, value, rule
└── BookError    a rate book with its faults: do not put it in force
"""


class PricingError(Exception):
    """Base of all errors of this package."""


class UsageError(PricingError):
    """A call that cannot be rated whatever the book says.

    `code` is one of bad_quantity, impossible_counts, amount_overflow; `field`, `value` and `rule` say what
    and why.
    """

    def __init__(self, code: str, field: str, value: str, rule: str) -> None:
        super().__init__(f"{code}: {field} = {value}: {rule}")
        self.code = code
        self.field = field
        self.value = value
        self.rule = rule


class CardError(PricingError):
    """One fault of a rate book. `card` names the card, contract, assignment or meter that holds it."""

    def __init__(self, card: str, field: str, value: str, rule: str) -> None:
        super().__init__(f"{card}: {field} = {value}: {rule}")
        self.card = card
        self.field = field
        self.value = value
        self.rule = rule


class BookError(PricingError):
    """A rate book that cannot be compiled, with every fault found."""

    def __init__(self, faults: tuple[CardError, ...]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults
