"""The ledger as the aggregator asks it: in a thread of its own, so that the event loop never waits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import psycopg

from aggregator.core.fold import Watched
from pricing.totals import Live
from rate_book.ledger_totals import LedgerMissingError, LedgerTotals
from runtime.postgres import Connection, run

_BUDGET_S = 2  # whoever asks asks again
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Ledger:
    """Questions to the ledger, one at a time.

    Each method raises runtime.errors.InfrastructureError where there is no answer.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._totals = LedgerTotals(dsn)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """How far the ledger has each of them without a gap."""
        return await self._ask(self._totals.contiguous, customer_ids)

    async def known(self) -> list[tuple[str, int]]:
        """Every customer with its contiguous sequence."""
        return await self._ask(lambda: list(self._totals.known_customers()))

    async def at(self, customer_id: str, seq: int, watched: Watched) -> Live | None:
        """The totals of every record up to `seq`; None: the ledger does not have them all."""
        cut = await self._ask(self._totals.at, customer_id, seq, watched.zone, watched.scopes)
        return cut.live if cut.seq == seq else None

    async def requests(self) -> list[str]:
        """Customers that somebody wants rebuilt."""
        return await self._ask(self._requests)

    async def taken(self, customer_ids: Sequence[str]) -> None:
        """Their requests are taken care of."""
        await self._ask(self._delete, customer_ids)

    def close(self) -> None:
        """Ask nothing any more."""
        self._thread.submit(self._totals.close)
        self._thread.shutdown(wait=False, cancel_futures=False)

    def _requests(self) -> list[str]:
        found = self._run(
            lambda connection: connection.execute("select customer_id from totals.repairs").fetchall()
        )
        return [str(customer_id) for (customer_id,) in found]

    def _delete(self, customer_ids: Sequence[str]) -> None:
        self._run(
            lambda connection: connection.execute(
                "delete from totals.repairs where customer_id = any(%s)", (list(customer_ids),)
            )
        )

    def _run(self, work: Callable[[Connection], _T]) -> _T:
        try:
            return run(self._dsn, work, budget_s=_BUDGET_S, application_name="ratestream-aggregator")
        except psycopg.Error as error:  # what a later try mends has become a DatabaseUnavailableError
            raise LedgerMissingError(
                f"totals.repairs: {error.diag.message_primary or error}; `ratestream ledger migrate` makes "
                "what is missing"
            ) from error

    async def _ask(self, question: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: question(*args, **kwargs))
