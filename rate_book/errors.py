"""Errors of the rate book; each is reported in one line and ends a command in its exit code.

RateBookError                 base: the text names file or store, field, value and rule (1)
├── BookInvalidError          the files do not form a book: correct them (1)
├── ChangeTooSoonError        a change takes effect before the lead allows: date it later, or force it (1)
├── NoBookError               no version is stored, or none was ever confirmed: apply one, or wait (3)
├── StoreBrokenError          stored versions went back or changed: stop every rater and find out why (3)
├── BookPollerError           the thread that confirms versions has ended by a bug: restart the process (3)
├── ImportRefusedError        a price list cannot be converted: install or correct the package (1)
└── CallInvalidError          one call of `ratestream price` is not a call: field, value and rule (2)
"""

from runtime.errors import ReportedError


class RateBookError(ReportedError):
    """Base of the rate book's errors."""


class BookInvalidError(RateBookError):
    """The data does not form a book. Attributes: where (file and card), field, value, rule."""

    def __init__(self, where: str, field: str, value: object, rule: str) -> None:
        shown = repr(value)
        super().__init__(f"{where}: {field} = {shown if len(shown) <= 200 else shown[:197] + '...'}: {rule}")
        self.where, self.field, self.value, self.rule = where, field, value, rule


class ChangeTooSoonError(RateBookError):
    """A change would take effect before the lead allows. Instants in microseconds UTC; None is since ever."""

    def __init__(self, message: str, earliest_us: int | None, required_us: int) -> None:
        super().__init__(message)
        self.earliest_us, self.required_us = earliest_us, required_us


class NoBookError(RateBookError):
    """There is no version to work with."""

    exit_code = 3


class StoreBrokenError(RateBookError):
    """The stored versions contradict what was read from them before."""

    exit_code = 3


class BookPollerError(RateBookError):
    """The thread that confirms versions is gone: what it confirmed grows old and nobody would tell."""

    exit_code = 3


class ImportRefusedError(RateBookError):
    """The price list as a whole cannot be converted."""


class CallInvalidError(RateBookError):
    """A call to price is malformed. Attributes: field, value, rule."""

    exit_code = 2

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field} = {value!r}: {rule}")
        self.field, self.value, self.rule = field, value, rule
