"""What one call of one function costs."""
