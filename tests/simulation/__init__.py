"""A deterministic simulation of the services: their own code over a fake world, by a seed."""
