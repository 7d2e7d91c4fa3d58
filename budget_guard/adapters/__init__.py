"""What the budget guard reads and writes."""
