"""`ratestream demo`: the main job on real requests, from an empty machine to a verified bill."""

from cli.demo.commands import demo

__all__ = ["demo"]
