"""The wire: Avro schemas, their codec, topics and event rules. It owns no business and no connection."""
