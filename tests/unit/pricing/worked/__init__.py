"""Every meter and shape of a price, worked with a pencil: rates as YAML, arithmetic in the docstring."""
