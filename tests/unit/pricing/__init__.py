"""Tests of the pricing core: worked cases with the arithmetic by hand."""
