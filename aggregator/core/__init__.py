"""What the aggregator decides, without I/O."""
