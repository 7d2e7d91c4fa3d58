"""Benchmarks: each checks its answer before it times it. Nothing here is imported by a service."""
