"""Load YAML with the line of each key, by the rules of YAML 1.2: `1e-4` is a number, `off` and `yes` are text.

Keys must be unique. Only mappings, lists and plain scalars can result, so a file can never run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from hpo.core.errors import truncate

Path = tuple[str | int, ...]
_MAX_NODES, _MAX_DEPTH = 10_000, 50  # a small file with aliases can expand to any size
_MAX_DIGITS = 200  # of an integer, so that it always fits into a float
_PATTERNS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_VALUES: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0 if text[:2] in ("0o", "0x") else 10),
    "float": lambda text: float(re.sub(r"\.(inf|nan)$", r"\1", text.lower())),
}
_FIRST_CHARACTERS = {
    "null": ["~", "n", "N", ""],
    "bool": [*"tTfF"],
    "int": [*"-+0123456789"],
    "float": [*"-+.0123456789"],
}


class _TooLargeError(Exception):
    pass


@dataclass(frozen=True)
class Mistake:
    """A mistake in a file: its place, and a sentence, which may continue from the name of the key."""

    path: Path
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Document:
    """A loaded document; `value` is None if the file as a whole is invalid."""

    value: Any
    lines: dict[Path, int]
    mistakes: tuple[Mistake, ...]
    unreadable: frozenset[Path] = frozenset()  # the paths of values that could not be loaded

    def line(self, path: Path) -> int:
        """Return the line of a key, or of the nearest parent key that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}


class Dumper(yaml.SafeDumper):
    """Writes text so that this loader and those of YAML 1.1 read it as text: `1e5` and `off` get quotes."""


for _kind, _pattern in _PATTERNS.items():
    for _class in (_Loader, Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _FIRST_CHARACTERS[_kind]
        )


def parse(text: str) -> Document:
    """Load one document; invalid syntax is returned as mistakes."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _invalid(f"this is not YAML: {truncate(_problem(error), 160)}.", mark.line + 1 if mark else 1)
    except RecursionError:
        return _invalid(f"a space is at most {_MAX_DEPTH} levels deep.", 1)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(error.character) if isinstance(error.character, str) else error.character
        return _invalid(f"the control character {code:#04x} is not allowed in YAML.", line)
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag.endswith(":null")):
        return _invalid("the file is empty; it needs study, data and search.", 1)
    builder = _Builder()
    try:
        value = builder.build(root, ())
    except _TooLargeError:
        return _invalid(
            f"a space holds at most {_MAX_NODES:,} values, {_MAX_DEPTH} levels deep; write it without aliases.", 1
        )
    return Document(value, builder.lines, tuple(builder.mistakes), frozenset(builder.unreadable))


def _invalid(text: str, line: int) -> Document:
    return Document(None, {}, (Mistake((), text, line),))


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return the error message of PyYAML, with the line where the invalid construct began if that differs."""
    problem = str(error.problem or error.context)
    if "'\\t'" in problem:
        return "a tab stands where only spaces may"
    if problem.startswith("but "):  # the context is the first half of the sentence
        return f"{error.context}, {problem}"
    start, end = error.context_mark, error.problem_mark
    beginning = f" (in what begins in line {start.line + 1})" if start and end and start.line < end.line else ""
    return problem + beginning


class _Builder:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self.unreadable: set[Path] = set()
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise _TooLargeError
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in ("str", *_PATTERNS):
            return self._scalar(node, kind, path)
        return self._unreadable(f"the tag {truncate(node.tag)} is not allowed; write plain values.", node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._add_mistake("a key must be plain text, not a list or a mapping.", key_node, path)
                continue
            key = key_node.value
            key_path = (*path, key)
            if key in result:
                self._add_mistake(
                    f"is a duplicate key: it is already set in line {self.lines[key_path]}.", key_node, key_path
                )
                continue
            self.lines[key_path] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, key_path)
        return result

    def _scalar(self, node: yaml.ScalarNode, kind: str, path: Path) -> Any:
        text = node.value
        if kind == "str":
            return text
        if not re.fullmatch(_PATTERNS[kind], text):  # possible only with an explicit tag
            mistake = f"{format_value(text)} is not what its tag !!{kind} says; write it without the tag."
            return self._unreadable(mistake, node, path)
        if kind == "int" and len(text) > _MAX_DIGITS:
            return self._unreadable(f"a number has at most {_MAX_DIGITS} digits, got {truncate(text)}.", node, path)
        return _VALUES[kind](text)

    def _unreadable(self, text: str, node: yaml.Node, path: Path) -> None:
        self.unreadable.add(path)
        self._add_mistake(text, node, path)

    def _add_mistake(self, text: str, node: yaml.Node, path: Path) -> None:
        self.mistakes.append(Mistake(path, text, node.start_mark.line + 1))


def dotted(path: Path) -> str:
    """Return a path as text, such as `search.depth.choices[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part or quoted('')}" for part in path)
    return truncate(text.removeprefix("."))


def format_value(value: Any) -> str:
    """Return a value as written in a space file, truncated; text that looks like another type gets quotes."""
    if isinstance(value, str):
        plain = value.strip() == value and not any(re.fullmatch(pattern, value) for pattern in _PATTERNS.values())
        return truncate(value if plain else quoted(value))
    if value is None:
        return "nothing"
    return truncate(json.dumps(value, ensure_ascii=False, default=repr) if isinstance(value, list | dict) else value)


def quoted(text: str) -> str:
    """Return text in double quotes, escaped as in JSON."""
    return json.dumps(text, ensure_ascii=False)
