"""What verification decides: pure checks over records that were read."""
