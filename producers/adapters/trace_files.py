"""Trace files: those that ship with the project by name, others by path."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path

from producers.core.trace import Trace, TraceError, parse_trace
from runtime.errors import UsageProblemError

_ENDING = ".csv"
_NAME_CHARACTERS_MAX = 64  # event and query ids hold the name and have to keep their declared lengths
_DIGEST_CHARACTERS = 8


def shipped_names() -> tuple[str, ...]:
    """Names of the traces that ship with the project."""
    return tuple(sorted(entry.name.removesuffix(_ENDING) for entry in _shipped() if _is_trace(entry)))


def load_traces(names_or_paths: Sequence[str]) -> tuple[Trace, ...]:
    """The traces by name. Raises UsageProblemError for one that is unknown, bad or given twice."""
    traces = sorted(map(load_trace, names_or_paths), key=lambda trace: trace.name)
    for before, after in pairwise(traces):
        if before.name == after.name:
            raise UsageProblemError(f"trace {after.name} is given twice; rule: each once")
    return tuple(traces)


def load_trace(name_or_path: str) -> Trace:
    """One trace. A file that is not shipped gets a digest in its name, for event ids derive from it.

    Raises UsageProblemError where there is no such trace or it cannot be read.
    """
    shipped = {entry.name.removesuffix(_ENDING): entry for entry in _shipped() if _is_trace(entry)}
    path = Path(name_or_path)
    try:
        if name_or_path in shipped:
            return parse_trace(name_or_path, shipped[name_or_path].read_text("utf-8").splitlines())
        content = path.read_bytes()
        name = path.name.removesuffix(_ENDING)
        if name not in shipped or shipped[name].read_bytes() != content:
            name = f"{name[:_NAME_CHARACTERS_MAX]}-{sha256(content).hexdigest()[:_DIGEST_CHARACTERS]}"
        return parse_trace(name, content.decode("utf-8").splitlines())
    except OSError as error:
        known = ", ".join(shipped)
        raise UsageProblemError(
            f"trace is {name_or_path!r}; rule: one of {known}, or a file that can be read ({error.strerror})"
        ) from error
    except (UnicodeDecodeError, TraceError) as error:
        raise UsageProblemError(f"trace {name_or_path!r} cannot be replayed: {error}") from error


def _shipped() -> list[Traversable]:
    return list((files("producers") / "traces").iterdir())


def _is_trace(entry: Traversable) -> bool:
    return entry.name.endswith(_ENDING)
