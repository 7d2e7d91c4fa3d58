"""The aggregator's connections: Faust, the topics it writes, the ledger it repairs from."""
