"""All targets by name."""

from collections.abc import Mapping

from tests.fuzz import text, wire
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {target.name: target for target in (*wire.TARGETS, *text.TARGETS)}
