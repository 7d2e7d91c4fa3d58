"""The ledger's figures: its loop beside a bare COPY of the same rows, and what a quick verification takes."""
