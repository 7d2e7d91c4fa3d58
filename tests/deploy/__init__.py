"""Checks of what is deployed: known vulnerabilities, manifests, the production environment."""
