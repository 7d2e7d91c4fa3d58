"""Our prices beside those of other packages, which live in an environment of their own."""
