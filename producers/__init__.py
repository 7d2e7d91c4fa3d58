"""Publishing usage events: from files, from request traces; services use the client package instead."""
