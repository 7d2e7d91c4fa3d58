"""Errors of the rate book.

BookError                     the base: text names the file or store, the field, the value and the rule
├── BookInvalid               the files do not form a book: correct them (exit 1)
├── ChangeTooSoon             a change takes effect before the lead allows: date it later, or --retroactive
├── NoBook                    no version is stored, or none was ever confirmed: apply one, or wait (exit 3)
├── ImportRefused             a price list cannot be converted: install or correct the package (exit 1)
└── CallInvalid               one call of `ratestream price` is not a call: field, value and rule (exit 2)
"""


class BookError(Exception):
    """Base of the rate book's errors. `exit_code` is what a command ends with."""

    exit_code = 1


class BookInvalid(BookError):  # noqa: N818 - the name says what happened
    """The data does not form a book. Attributes: where (file and card), field, value, rule."""

    def __init__(self, where: str, field: str, value: object, rule: str) -> None:
        shown = repr(value)
        super().__init__(f"{where}: {field}: {shown if len(shown) <= 200 else shown[:197] + '...'}: {rule}")
        self.where, self.field, self.value, self.rule = where, field, value, rule


class ChangeTooSoon(BookError):  # noqa: N818 - the name says what happened
    """A change would take effect before the lead allows. Instants in microseconds UTC."""

    def __init__(self, message: str, earliest_us: int | None, required_us: int) -> None:
        super().__init__(message)
        self.earliest_us, self.required_us = earliest_us, required_us


class NoBook(BookError):  # noqa: N818 - the name says what happened
    """There is no version to work with."""

    exit_code = 3


class ImportRefused(BookError):  # noqa: N818 - the name says what happened
    """The price list as a whole cannot be converted."""


class CallInvalid(BookError):  # noqa: N818 - the name says what happened
    """A call to price is malformed. Attributes: field, value, rule."""

    exit_code = 2

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field}: {value!r}: {rule}")
        self.field, self.value, self.rule = field, value, rule
