"""Which scopes of each customer somebody watches: those of the budgets, for whoever keeps running totals."""

from pricing.totals import Scope
from rate_book.budgets.source import BudgetSource


class WatchedScopes:
    """The scopes of the newest budgets, kept by a thread; see `BudgetSource` for what it does in trouble."""

    def __init__(self, dsn: str, *, poll_s: float = 2, application_name: str = "ratestream-watched") -> None:
        self._source = BudgetSource(dsn, poll_s=poll_s, application_name=application_name)

    def start(self, timeout_s: float = 15) -> None:
        """Begin, and wait for the first answer. Raises BudgetsUnknownError saying why there is none."""
        self._source.start()
        self._source.wait_first(timeout_s)

    def stop(self) -> None:
        self._source.stop()

    @property
    def version(self) -> int:
        """Of the budgets that the answers are from; 0 before the first were applied. Raises
        BudgetsUnknownError.
        """
        return self._source.newest().version

    def scopes(self, customer_id: str) -> tuple[Scope, ...]:
        """The customer's scopes in order, `()` among them; the same object while the version is the same.

        Raises BudgetsUnknownError.
        """
        return self._source.newest().scopes(customer_id)
