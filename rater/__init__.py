"""The rater: usage.events and usage.corrections in, exactly rated usage out, once."""
