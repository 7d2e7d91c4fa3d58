"""Unit tests of the rate book."""
