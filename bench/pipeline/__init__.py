"""Whole loops against the real broker, each in a process of its own."""
