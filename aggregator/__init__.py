"""Not built yet: live running totals from `usage.deltas`, as README.md describes."""
