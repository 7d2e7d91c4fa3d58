"""The services under test: those that the settings name, else this checkout's own local stack.

A stack that runs already is used and left running; one that the session started, it stops. A service that
does not answer fails the tests that need it: nothing is skipped.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stack.kafka import VERSION
from cli.stack.local import LocalStack
from cli.stack.place import Place, PostgresPlace
from runtime.settings import SettingsLoader, process_environment

ROOT = Path(__file__).resolve().parent.parent


def settings_loader() -> SettingsLoader:
    """Return the settings of this checkout, whatever the working directory."""
    return SettingsLoader(ROOT, process_environment())


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    """The checkout's own stack, up. A test that kills a service takes `own_stack`."""
    stack = LocalStack(ROOT)
    was_up = stack.is_up()
    stack.up()
    yield stack
    if not was_up:
        stack.down()


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A second stack, of a project of its own, that a test may kill, stop and reset."""
    checkout = LocalStack(ROOT)
    checkout.kafka.fetch()
    stack = LocalStack(tmp_path_factory.mktemp("own-stack"), checkout.place.jars)
    stack.up()
    yield stack
    stack.reset()


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Say which services the collected tests will use, if any does."""
    needed = {name for item in items for name in getattr(item, "fixturenames", ())}
    loader = settings_loader()
    lines = []
    if needed & {"kafka", "kafka_cluster"}:
        own = loader.names_endpoint("kafka")
        lines.append("Kafka: as the settings say" if own else f"Kafka {VERSION}: the local stack")
    if needed & {"postgres", "postgres_server"}:
        own = loader.names_endpoint("postgres")
        lines.append("PostgreSQL: as the settings say" if own else f"{_postgres_version()}: the local stack")
    return lines


def _postgres_version() -> str:
    return PostgresPlace.of(Place(ROOT)).run("postgres", "--version").strip().removeprefix("postgres ")
