"""YAML read as text: a scalar stays the characters that stand in the file, so that no rate passes a float."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rate_book.errors import BookInvalidError

# The C loader where the library has it: ten times faster on the provider lists.
if TYPE_CHECKING:
    _Base = yaml.BaseLoader
else:
    _Base = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


_DEEPEST = 50  # a rate in a step of a variant is nested in 12
_BYTES_MAX = 16 * 1024 * 1024  # the largest provider list has half of one
_NODES_MAX = 1_000_000


class _TextLoader(_Base):
    """Base loader (no types) that refuses a key written twice, where the second would silently win, and any
    tag (`!!omap`), by which a mapping would be built without that check.
    """


def _mapping(loader: yaml.BaseLoader, node: Any) -> object:
    if not isinstance(node, yaml.MappingNode):
        return _refused(loader, node)
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        mark = key_node.start_mark
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", mark)
        key = str(loader.construct_object(key_node))
        if key in result:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice", mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


def _refused(_: yaml.BaseLoader, node: Any) -> object:
    rule = f"a {node.id} with the tag {node.tag!r} is not part of a book: leave the tag out"
    raise yaml.constructor.ConstructorError(None, None, rule, node.start_mark)


def _sequence(loader: yaml.BaseLoader, node: Any) -> object:
    return loader.construct_sequence(node, deep=True)


def _text(loader: yaml.BaseLoader, node: Any) -> object:
    return loader.construct_scalar(node)


# A node without a tag has one of these three; under None is whatever has another.
_TextLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_TextLoader.add_constructor("tag:yaml.org,2002:seq", _sequence)
_TextLoader.add_constructor("tag:yaml.org,2002:str", _text)
_TextLoader.add_constructor(None, _refused)


def _check_shape(text: str) -> None:
    """Building what is nested goes as deep as it is, and aliases of aliases repeat what they name for ever:
    a small file could end the process.
    """
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and what was counted before
    sizes: dict[str | None, int] = {}  # of what has an anchor, aliases written out
    count = 0
    for event in yaml.parse(text, Loader=_TextLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            sizes.pop(event.anchor, None)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _fault(event, f"*{event.anchor} stands for what it is a part of, or for nothing")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor] = count - before
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent):
            count += 1
        if len(open_nodes) > _DEEPEST:
            raise _fault(event, f"nested in more than {_DEEPEST} lists and mappings")
        if count > _NODES_MAX:
            raise _fault(event, f"more than {_NODES_MAX} values, aliases (*name) written out")


def _fault(event: Any, rule: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, rule, event.start_mark)


def read_yaml(path: Path) -> object:
    """The file as nested dict, list and str. Raises BookInvalidError naming the file, line and column."""
    try:
        size = path.stat().st_size
        if size > _BYTES_MAX:
            raise BookInvalidError(str(path), "file", path.name, f"has {size} bytes, at most {_BYTES_MAX}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BookInvalidError(
            str(path), "file", path.name, f"must be a readable UTF-8 file: {error}"
        ) from error
    try:
        _check_shape(text)
        return yaml.load(text, Loader=_TextLoader)  # noqa: S506 - a base loader constructs only dict, list and str
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        raise BookInvalidError(
            str(path), at, path.name, getattr(error, "problem", None) or "must be YAML"
        ) from error
