"""Pure decisions of the budget guard: no I/O, no clock."""
