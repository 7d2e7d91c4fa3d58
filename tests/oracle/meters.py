"""What each meter counts, as sets of words; and counts taken apart, in fractions."""

from collections.abc import Mapping
from fractions import Fraction

COUNTED_ONCE = ("requests", "events")
KINDS = ("", "text", "audio", "image", "video")


class Impossible(Exception):
    """The counts contradict each other: the event must be rejected."""


def _words(*words: str) -> frozenset[str]:
    return frozenset(word for word in words if word)


def _all() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for kind in KINDS:
        name = f"{kind}_" if kind else ""
        found[f"input_{name}tokens"] = _words("tokens", "in", kind)
        found[f"input_{name}tool_tokens"] = _words("tokens", "in", kind, "tool")
        found[f"cache_{name}read_tokens"] = _words("tokens", "in", kind, "read")
        found[f"cache_{name}write_tokens"] = _words("tokens", "in", kind, "write")
        for life in ("5m", "1h"):
            found[f"cache_{name}write_{life}_tokens"] = _words("tokens", "in", kind, "write", life)
        found[f"output_{name}tokens"] = _words("tokens", "out", kind)
        for class_ in ("reasoning", "citation", "accepted_prediction", "rejected_prediction"):
            found[f"output_{name}{class_}_tokens"] = _words("tokens", "out", kind, class_)
    for medium in ("audio", "video"):
        found[f"{medium}_seconds"] = _words("seconds", medium)
        found[f"input_{medium}_seconds"] = _words("seconds", medium, "in")
        found[f"output_{medium}_seconds"] = _words("seconds", medium, "out")
    found["images"] = _words("images")
    for way in ("input", "output"):
        found[f"{way}_images"] = _words("images", way)
        found[f"{way}_pixels"] = _words("pixels", way)
        found[f"{way}_characters"] = _words("characters", way)
    found["input_document_pages"] = _words("pages")
    found["input_annotated_document_pages"] = _words("pages", "annotated")
    alone = (
        "input_text_messages video_frames rerank_searches web_searches social_searches storage_searches "
        "map_searches code_executions function_calls code_sessions session_seconds guardrail_units "
        "moderations routing_units dbus cache_storage_token_hours storage_gb_days provisioned_unit_hours "
        "endpoint_seconds hosting_hours training_tokens training_hours credits queries requests events"
    )
    return found | {meter: _words(meter) for meter in alone.split()}


# One whose words hold another's is a part of that one.
METERS: dict[str, frozenset[str]] = _all()
NAMED = {counted: meter for meter, counted in METERS.items()}
# A quantity of a part is no use without the total.
TOTALS = ("input_tokens", "output_tokens", "input_document_pages")


def is_part(meter: str, whole: str) -> bool:
    return meter in METERS and whole in METERS and METERS[whole] < METERS[meter]


def nearest_wholes(meter: str, among: Mapping[str, object]) -> list[str]:
    """The wholes of a meter that are not themselves wholes of another one there."""
    wholes = [other for other in among if is_part(meter, other)]
    return [whole for whole in wholes if not any(is_part(other, whole) for other in wholes)]


def split(semantics: str, usage: Mapping[str, str]) -> dict[str, Fraction]:
    """Disjoint quantities: inclusive, what is counted in a reported part is taken out of its whole.

    The two cases of docs/decisions/0003: some of a part without its total is refused; where the parts come to
    more than their whole, what must lie in two of them is counted there, once nothing else is possible.
    """
    told = {meter: Fraction(text) for meter, text in usage.items()}
    if semantics == "exclusive":
        return told
    for meter, quantity in told.items():
        if quantity and any(is_part(meter, total) and total not in told for total in TOTALS):
            raise Impossible(meter)
    leaves = _apart(told)
    while min(leaves.values(), default=0) < 0:
        shared = _shared(told)
        if not shared:
            raise Impossible(usage)
        told |= shared
        leaves = _apart(told)
    return leaves


def _apart(told: Mapping[str, Fraction]) -> dict[str, Fraction]:
    leaves: dict[str, Fraction] = {}
    for meter in sorted(told, key=lambda name: -len(METERS.get(name, ()))):
        leaves[meter] = told[meter] - sum(leaves[part] for part in leaves if is_part(part, meter))
    return leaves


def _shared(told: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """What nobody reported and yet is certain: all of a whole is in one part, so any other part is in it."""
    shared = {}
    for whole, total in told.items():
        inside = [part for part in told if is_part(part, whole) and told[part]]
        for everything in (part for part in inside if told[part] == total):
            for part in inside:
                both = NAMED.get(METERS[everything] | METERS[part])
                if both is not None and both not in told:
                    shared[both] = told[part]
    return shared
