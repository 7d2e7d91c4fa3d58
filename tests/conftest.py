"""Loads the shared fixtures, one `fix_*.py` a resource, and the settings of property tests."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fix_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # all of them, before one is imported by another

# A slow machine is no fault of what is tested; neither is a draw that comes out large.
settings.register_profile(
    "ratestream",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile("ratestream")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command that was called in a test logs to that test's standard error, which is closed afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
    root.setLevel(level)
