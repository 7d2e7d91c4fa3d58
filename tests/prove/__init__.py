"""`make prove`: the whole pipeline as real processes, a seeded stream, a seeded nemesis, and an oracle."""
