"""What producers touch: Kafka, trace files and the stored runs of a replay."""
