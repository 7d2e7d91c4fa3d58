"""Raters with one line wrong, to show that a test has teeth. Run as `python -m tests.fault.mutants.NAME`."""
