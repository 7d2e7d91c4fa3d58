"""The probe at the start, where there is no broker: the process stops as one whose surroundings fail."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from yarl import URL

from aggregator.adapters.probe import check_committed_reads
from runtime.errors import InfrastructureError


def test_a_broker_that_is_away_is_infrastructure() -> None:
    """Found by `make prove`: all brokers were dead, and the process ended as by a bug, with exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    app = cast(
        "Any", SimpleNamespace(conf=SimpleNamespace(broker_consumer=[URL(f"kafka://127.0.0.1:{port}")]))
    )
    with pytest.raises(InfrastructureError, match="Unable to bootstrap") as raised:
        asyncio.run(check_committed_reads(app, {}, "aggregator.probe", "probe"))
    assert raised.value.exit_code == 3
