"""Loads the shared fixtures: one `fix_*.py` a resource."""

from pathlib import Path

import pytest

pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fix_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # all of them, before one is imported by another
