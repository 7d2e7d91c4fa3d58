"""Which model names a clause of genai-prices matches, as exact names and prefixes.

A clause that a book cannot say is narrowed to what it can say, or refused; either way by name. Narrowed never
matches more than the clause, with one exception that is reported too: a date at the end of a name becomes the
prefix up to the century (`-20`).
"""

import re
from dataclasses import dataclass, field
from typing import Any

_DATED = re.compile(r"^\^(?P<name>.+?)(?P<mark>-|\[-@\])(?:\\d\{8\}|\\d\{4\}-\\d\{2\}-\\d\{2\})\$$")
_DIGIT_AFTER = re.compile(r"^\^(?P<name>.+)\\d$")
_EXACT = re.compile(r"^\^(?P<name>.+)\$$")
_NOT_SPEECH = r"^(?!.*-[tT][tT][sS](?:$|-))"
_LITERAL = re.compile(r"(?:[^\\.\[\]()*+?{}|^$]|\\[.\[\]@-])+")
_CENTURY = "20"


@dataclass
class Names:
    """Exact names, prefixes with what must not stand in the name, and what was narrowed or refused."""

    exact: list[str] = field(default_factory=list)
    prefixes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def merge(self, other: "Names") -> None:
        self.exact += other.exact
        self.prefixes += other.prefixes
        self.remarks += other.remarks


def names_of(clause: Any) -> Names:  # noqa: PLR0911 - one case for each kind of clause
    """The names that a match clause accepts, in lower case."""
    kind = type(clause).__name__
    match kind:
        case "ClauseEquals":
            return Names(exact=[clause.equals.lower()])
        case "ClauseStartsWith":
            return Names(prefixes=[(clause.starts_with.lower(), ())])
        case "ClauseContains":
            text = clause.contains.lower()
            remark = (f"match contains {text!r}", f"narrowed to names that begin with {text!r}")
            return Names(prefixes=[(text, ())], remarks=[remark])
        case "ClauseEndsWith":
            text = clause.ends_with.lower()
            return Names(exact=[text], remarks=[(f"match ends with {text!r}", f"narrowed to {text!r}")])
        case "ClauseRegex":
            return _names_of_regex(clause.regex)
        case "ClauseOr":
            result = Names()
            for part in clause.or_:
                result.merge(names_of(part))
            return result
        case "ClauseAnd":
            return _names_of_and(clause)
        case _:
            return Names(remarks=[(f"match clause {kind}", "refused")])


def _names_of_and(clause: Any) -> Names:
    """A prefix that is not speech; no other conjunction is in use."""
    first, *rest = clause.and_
    is_speech_guard = [type(part).__name__ == "ClauseRegex" and part.regex == _NOT_SPEECH for part in rest]
    if type(first).__name__ == "ClauseStartsWith" and all(is_speech_guard):
        return Names(prefixes=[(first.starts_with.lower(), ("-tts",))])
    return Names(remarks=[(f"match {clause!r}", "refused")])


def _names_of_regex(regex: str) -> Names:
    dated = _DATED.match(regex)
    if dated and (name := _literal(dated["name"])) is not None:
        marks = "-@" if dated["mark"] == "[-@]" else "-"
        prefixes: list[tuple[str, tuple[str, ...]]] = [(f"{name}{mark}{_CENTURY}", ()) for mark in marks]
        shown = " or ".join(repr(prefix) for prefix, _ in prefixes)
        return Names(
            prefixes=prefixes, remarks=[(f"match regex {regex}", f"widened to names that begin with {shown}")]
        )
    digit = _DIGIT_AFTER.match(regex)
    if digit and (name := _literal(digit["name"])) is not None:
        return Names(prefixes=[(f"{name}{number}", ()) for number in range(10)])
    exact = _EXACT.match(regex)
    if exact and (name := _literal(exact["name"])) is not None:
        return Names(exact=[name])
    return Names(remarks=[(f"match regex {regex}", "refused")])


def _literal(regex: str) -> str | None:
    """The text that the regex stands for, or None where it is more than escaped text."""
    if not _LITERAL.fullmatch(regex):
        return None
    return regex.replace("\\", "").lower()
