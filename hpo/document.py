"""YAML as YAML 1.2 means it, with the line of every key: `1e-4` is a number, `off` and `yes` are text, a key occurs once.

Nothing but mappings, lists and plain scalars can come out, so a file can never run code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from hpo.errors import cut

Path = tuple[str | int, ...]
_MAX_NODES, _MAX_DEPTH = 10_000, 50  # aliases can blow a small file up to anything


class _TooLargeError(Exception):
    pass


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: where, and a sentence that begins with the key or says the whole."""

    path: Path
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Document:
    value: Any
    lines: dict[Path, int]
    mistakes: tuple[Mistake, ...]

    def line(self, path: Path) -> int:
        """The line of a key, or of the nearest key above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}


def _resolve(tag: str, pattern: str, first: str) -> None:
    """Plain scalars that match `pattern`, and begin with a character of `first` (or are empty), are of type `tag`."""
    start = [*first, ""] if re.fullmatch(pattern, "") else [*first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), start)


_resolve("null", r"~|null|Null|NULL|", "~nN")
_resolve("bool", r"true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolve("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789")


def parse(text: str) -> Document:
    """Reads one document; whatever is wrong with its form comes back as mistakes."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        return Document(None, {}, (Mistake((), f"this is not YAML: {cut(error.problem or str(error), 160)}.", line),))
    except RecursionError:
        return Document(None, {}, (Mistake((), f"a space is at most {_MAX_DEPTH} levels deep.", 1),))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"{ord(error.character):#04x}" if isinstance(error.character, str) else f"{error.character:#04x}"
        return Document(None, {}, (Mistake((), f"the control character {character} is not allowed in YAML.", line),))
    if root is None:
        return Document(None, {}, (Mistake((), "the file is empty; it needs study, data and search.", 1),))
    builder = _Builder()
    try:
        value = builder.build(root, ())
    except _TooLargeError:
        text = f"a space holds at most {_MAX_NODES:,} values, {_MAX_DEPTH} levels deep; write it without aliases."
        return Document(None, {}, (Mistake((), text, 1),))
    return Document(value, builder.lines, tuple(builder.mistakes))


class _Builder:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise _TooLargeError
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._wrong(path, f"the tag {cut(node.tag)} is not allowed; write plain values.", node)
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(path, "a key must be plain text.", key_node)
                continue
            key = key_node.value
            here = (*path, key)
            if key in result:
                first = self.lines[here]
                self._wrong(path, f"{dotted(here)} is a duplicate key: it is already set in line {first}.", key_node)
                continue
            self.lines[here] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, here)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind, text = node.tag.rpartition(":")[2], node.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            if len(text) > 400:  # beyond any float, and Python refuses to parse thousands of digits
                return float("inf")
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
        if kind != "str":
            self._wrong(path, f"the tag {cut(node.tag)} is not allowed; write plain values.", node)
        return text

    def _wrong(self, path: Path, text: str, node: yaml.Node) -> None:
        self.mistakes.append(Mistake(path, text, node.start_mark.line + 1))


def dotted(path: Path) -> str:
    """`search.depth.choices[0]`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return cut(text.removeprefix("."))
