"""What Faust tells the service, and what it tells too early. No broker."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP

from aggregator.adapters.faust_app import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.mark.parametrize("overtaken", [False, True])
def test_a_restore_that_a_rebalance_cut_short_is_none(overtaken: bool) -> None:
    """Faust swallows that another rebalance began, and says that all is restored."""
    told: list[list[int]] = []
    failures: list[BaseException] = []
    callbacks: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def follow() -> None:
        pass

    async def run() -> None:
        beginning = asyncio.Event()
        app: Any = SimpleNamespace(
            source="deltas",
            owner=SimpleNamespace(restored=told.append, follow=follow),
            consumer=SimpleNamespace(assignment=lambda: {TP("deltas", 3), TP("state", 3)}),
            tables=SimpleNamespace(recovery=SimpleNamespace(signal_recovery_start=beginning)),
            on_partitions_revoked=SimpleNamespace(connect=lambda *_args, **_kwargs: None),
            topic=lambda *_args, **_kwargs: None,
            agent=lambda *_args, **_kwargs: lambda _function: None,
        )
        table: Any = SimpleNamespace(on_recover=callbacks.append)
        connect(app, table, failures.append)
        if overtaken:
            beginning.set()
        await callbacks[0]()

    asyncio.run(run())
    assert (told, failures) == ([] if overtaken else [[3]], [])
