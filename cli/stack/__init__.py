"""The local stack: a real Kafka and a real PostgreSQL as processes of one project, no containers."""
