"""The rate book: cards, contracts, assignments as data; their store and poller, and the way to the wire."""
