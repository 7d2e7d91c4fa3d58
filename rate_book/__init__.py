"""The rate book: cards, contracts and assignments as data; their store, poller, and way to and from the wire."""
