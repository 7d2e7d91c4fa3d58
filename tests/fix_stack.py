"""The services under test: those that the settings name, else this checkout's own local stack.

A stack that runs already is used and left running; one that the session started, it stops. A service that
does not answer fails the tests that need it: nothing is skipped.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from cli.stack.kafka import VERSION
from cli.stack.local import LocalStack
from cli.stack.place import Place, PostgresPlace
from cli.stack.process import StackError, locked
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
def own_stack() -> Iterator[LocalStack]:
    """A second stack, of a project of its own, that a test may kill, stop and reset."""
    with stack_of_its_own() as stack:
        stack.up()
        yield stack


@contextmanager
def stack_of_its_own() -> Iterator[LocalStack]:
    """An empty stack that is down, of a project that no other session uses; reset at the end.

    Its folder is the first that nobody holds, so the next session clears up what a killed one left.
    """
    checkout = LocalStack(ROOT)
    checkout.kafka.fetch()
    with ExitStack() as held:
        for number in count():
            folder = checkout.place.root / "own-stacks" / str(number)
            with suppress(StackError):
                held.enter_context(locked(folder / "session.lock", 0, "another session's"))
                break
        stack = LocalStack(folder, checkout.place.jars)
        stack.reset()
        try:
            yield stack
        finally:
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
        lines.append(
            "PostgreSQL: as the settings say" if own else f"PostgreSQL {_version()}: the local stack"
        )
    return lines


def _version() -> str:
    return PostgresPlace.of(Place(ROOT)).run("postgres", "--version").split()[-1]
