"""Kubernetes' own schemas of the kinds that deploy/ uses, and a check of manifests against them."""
