"""Pricing: from the counts of one call to an exact cost and price, each line explained; pure, standard library only."""
