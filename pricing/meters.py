"""The registry of meters: what can be counted, and which counts are parts of which.

A meter is a set of dimensions, as in genai-prices' unit registry, whose names are used where it has one: a
meter whose dimensions are a subset of another's is its whole, so `input_tokens` {tokens, input} is the whole
of `cache_read_tokens` {tokens, input, cache_read}, and `cache_audio_read_tokens` is a part of cached and of
audio input alike. The dimensions are data: a rate book may add meters, and the relations follow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MeterDefinition:
    """A meter's name, ending in its unit, and its dimensions as (key, value) pairs.

    `whole_required`: a call that counts inclusively and reports a quantity of this meter must report the
    outermost whole as well, because otherwise part of the call is unknown (cached tokens without input
    tokens).
    """

    name: str
    dimensions: Dimensions
    whole_required: bool = False


class MeterRegistry:
    """Meters in a fixed order, with their wholes and parts; an immutable value.

    Raises ValueError when two definitions share a name or a set of dimensions, or one has no dimension.
    """

    __slots__ = ("_by_dimensions", "_order", "_parts", "_wholes", "definitions")

    def __init__(self, definitions: Iterable[MeterDefinition]) -> None:
        named: dict[str, MeterDefinition] = {}
        by_dimensions: dict[frozenset[tuple[str, str]], str] = {}
        for definition in definitions:
            dimensions = frozenset(definition.dimensions)
            if not definition.name or not dimensions or len(dict(dimensions)) != len(definition.dimensions):
                raise ValueError(f"meter {definition.name!r}: needs a name and dimensions, each key once")
            if definition.name in named:
                raise ValueError(f"meter {definition.name!r} is defined twice")
            if dimensions in by_dimensions:
                raise ValueError(
                    f"meter {definition.name!r} has the dimensions of {by_dimensions[dimensions]!r}"
                )
            named[definition.name] = definition
            by_dimensions[dimensions] = definition.name
        sets = {name: frozenset(definition.dimensions) for name, definition in named.items()}
        self.definitions: Mapping[str, MeterDefinition] = MappingProxyType(named)
        self._by_dimensions = by_dimensions
        self._order = {name: position for position, name in enumerate(named)}
        self._wholes = {
            name: frozenset(other for other in sets if sets[other] < mine) for name, mine in sets.items()
        }
        self._parts = {
            name: frozenset(other for other in sets if mine < sets[other]) for name, mine in sets.items()
        }

    def __contains__(self, meter: object) -> bool:
        return meter in self.definitions

    def wholes(self, meter: str) -> frozenset[str]:
        """Every meter that `meter` is a part of, near and far; empty for an unknown meter."""
        return self._wholes.get(meter, frozenset())

    def parts(self, meter: str) -> frozenset[str]:
        """Every meter that is a part of `meter`, near and far; empty for an unknown meter."""
        return self._parts.get(meter, frozenset())

    def nearest(self, meter: str, among: Iterable[str]) -> tuple[str, ...]:
        """The wholes of `meter` in `among` that are not wholes of another one there, in order."""
        found = self.wholes(meter).intersection(among)
        near = [whole for whole in found if not any(whole in self._wholes[other] for other in found)]
        return tuple(sorted(near, key=self.sort_key))

    def join(self, first: str, second: str) -> str | None:
        """The meter of what is in both `first` and `second`; None where they exclude each other or it has no
        name.
        """
        mine = dict(self.definitions[first].dimensions)
        for key, value in self.definitions[second].dimensions:
            if mine.setdefault(key, value) != value:
                return None
        return self._by_dimensions.get(frozenset(mine.items()))

    def sort_key(self, meter: str) -> tuple[int, str]:
        """Registered meters in their order, then unknown ones by name."""
        return self._order.get(meter, len(self._order)), meter


def _tokens(direction: str, modality: str = "", token_type: str = "", cache_ttl: str = "") -> Dimensions:
    pairs = (
        ("direction", direction),
        ("modality", modality),
        ("token_type", token_type),
        ("cache_ttl", cache_ttl),
    )
    return (("family", "tokens"), *(pair for pair in pairs if pair[1]))


_MODALITIES = ("", "text", "audio", "image", "video")
_OUTPUT_TYPES = ("reasoning", "citation", "accepted_prediction", "rejected_prediction")


def _token_meters() -> tuple[tuple[str, Dimensions], ...]:
    meters: list[tuple[str, Dimensions]] = []
    for modality in _MODALITIES:
        infix = f"{modality}_" if modality else ""
        meters += [
            (f"input_{infix}tokens", _tokens("input", modality)),
            (f"cache_{infix}read_tokens", _tokens("input", modality, "cache_read")),
            (f"cache_{infix}write_tokens", _tokens("input", modality, "cache_write")),
            (f"cache_{infix}write_5m_tokens", _tokens("input", modality, "cache_write", "5m")),
            (f"cache_{infix}write_1h_tokens", _tokens("input", modality, "cache_write", "1h")),
            (f"input_{infix}tool_tokens", _tokens("input", modality, "tool")),
        ]
    for modality in _MODALITIES:
        infix = f"{modality}_" if modality else ""
        meters.append((f"output_{infix}tokens", _tokens("output", modality)))
        meters += [
            (f"output_{infix}{kind}_tokens", _tokens("output", modality, kind)) for kind in _OUTPUT_TYPES
        ]
    return tuple(meters)


_OTHER_METERS: tuple[tuple[str, Dimensions], ...] = (
    ("input_characters", (("family", "characters"), ("direction", "input"))),
    ("output_characters", (("family", "characters"), ("direction", "output"))),
    ("input_text_messages", (("family", "messages"), ("direction", "input"), ("modality", "text"))),
    ("audio_seconds", (("family", "durations"), ("modality", "audio"))),
    ("input_audio_seconds", (("family", "durations"), ("direction", "input"), ("modality", "audio"))),
    ("output_audio_seconds", (("family", "durations"), ("direction", "output"), ("modality", "audio"))),
    ("video_seconds", (("family", "durations"), ("modality", "video"))),
    ("input_video_seconds", (("family", "durations"), ("direction", "input"), ("modality", "video"))),
    ("output_video_seconds", (("family", "durations"), ("direction", "output"), ("modality", "video"))),
    ("images", (("family", "images"),)),
    ("input_images", (("family", "images"), ("direction", "input"))),
    ("output_images", (("family", "images"), ("direction", "output"))),
    ("input_pixels", (("family", "pixels"), ("direction", "input"))),
    ("output_pixels", (("family", "pixels"), ("direction", "output"))),
    ("video_frames", (("family", "frames"), ("modality", "video"))),
    ("input_document_pages", (("family", "document_pages"), ("direction", "input"))),
    (
        "input_annotated_document_pages",
        (("family", "document_pages"), ("direction", "input"), ("page_type", "annotated")),
    ),
    ("rerank_searches", (("family", "rerank"),)),
    ("web_searches", (("family", "tool_calls"), ("tool_type", "web_search"))),
    ("social_searches", (("family", "tool_calls"), ("tool_type", "social_search"))),
    ("storage_searches", (("family", "tool_calls"), ("tool_type", "storage_search"))),
    ("map_searches", (("family", "tool_calls"), ("tool_type", "map_search"))),
    ("code_executions", (("family", "tool_calls"), ("tool_type", "code_execution"))),
    ("function_calls", (("family", "tool_calls"), ("tool_type", "function"))),
    ("code_sessions", (("family", "sessions"), ("tool_type", "code_execution"))),
    ("session_seconds", (("family", "session_durations"),)),
    ("guardrail_units", (("family", "guardrail_units"),)),
    ("moderations", (("family", "moderations"),)),
    ("routing_units", (("family", "routing_units"),)),
    ("dbus", (("family", "dbus"),)),
    ("cache_storage_token_hours", (("family", "token_hours"), ("storage", "cache"))),
    ("storage_gb_days", (("family", "gb_days"),)),
    ("provisioned_unit_hours", (("family", "provisioned_hours"),)),
    ("endpoint_seconds", (("family", "endpoint_durations"),)),
    ("hosting_hours", (("family", "hosting_hours"),)),
    ("training_tokens", (("family", "training_tokens"),)),
    ("training_hours", (("family", "training_hours"),)),
    ("credits", (("family", "credits"),)),
    ("queries", (("family", "queries"),)),
    ("requests", (("family", "requests"),)),
    ("events", (("family", "events"),)),
)

# A total of seconds or images beside its two directions is optional: a call that names the direction has said
# all.
_WHOLE_REQUIRED = frozenset({"tokens", "document_pages"})

DEFAULT_METERS: tuple[MeterDefinition, ...] = tuple(
    MeterDefinition(name, dimensions, whole_required=dict(dimensions)["family"] in _WHOLE_REQUIRED)
    for name, dimensions in (*_token_meters(), *_OTHER_METERS)
)

COUNTED_PER_EVENT = ("requests", "events")
"""Meters of which each event counts one where it does not report them."""
