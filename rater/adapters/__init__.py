"""The rater's contact with the world: Kafka inputs and outputs, local state, the rate book."""
