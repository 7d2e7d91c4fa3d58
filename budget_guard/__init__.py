"""Not built yet: budgets, alerts and their delivery, as README.md describes."""
