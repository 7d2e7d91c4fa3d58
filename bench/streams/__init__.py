"""Kafka Streams doing the same work: Java, compiled where a compiler is found."""
