"""Pricing: from one call's counts to an exact cost and price, each line explained; pure, standard library
only.
"""
