"""Budgets as YAML: reading, checks against the rate book, versions in PostgreSQL, and who watches which."""
