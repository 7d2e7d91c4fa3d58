"""Shared input and output without business: settings, clock, telemetry, Kafka and PostgreSQL."""
