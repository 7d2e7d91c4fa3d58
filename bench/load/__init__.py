"""The load harness: the whole pipeline at and below its capacity, what parts scale with, their peers."""
