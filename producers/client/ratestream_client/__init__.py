"""Publishing usage events from a service."""
