"""The ledger's entries: what reads the topics and proves them (`verify`, `explain`, `simulate`)."""

from ledger.verification import explain, simulate, verify

__all__ = ["explain", "simulate", "verify"]
