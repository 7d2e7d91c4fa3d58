"""Loads the shared fixtures: one `fix_*.py` a resource, each after those it imports."""

pytest_plugins = ["tests.fix_stack", "tests.fix_kafka", "tests.fix_postgres", "tests.fix_rater"]
