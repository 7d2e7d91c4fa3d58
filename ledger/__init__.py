"""The ledger: in this version its verification of what the topics hold."""
