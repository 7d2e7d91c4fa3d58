"""A second opinion on every amount, which imports nothing of the project."""
