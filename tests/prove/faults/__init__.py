"""What goes wrong, each kind in the module of what it strikes."""
