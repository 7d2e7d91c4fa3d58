"""What the rater decides: pure, so that the same core runs in the service, in tests and in a simulator."""
