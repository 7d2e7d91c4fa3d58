"""What verification reads: topics and stored rate books."""
