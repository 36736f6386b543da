"""Read a YAML file into plain values, with the line of every key; refuse what YAML would silently bend."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from neuroflow.config.shapes import KeyPath, dotted

_MAX_BYTES = 1_000_000
# Aliases let a few lines of YAML unfold into gigabytes.
_MAX_NODES = 50_000

_DEFAULT_TAGS = "tag:yaml.org,2002:"


@dataclass
class Document:
    """One file's values, the line of each key path, and what is wrong with it."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """YAML as people read it: 010 is no octal number, 12:30 no sexagesimal one, 2024-01-01 a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("int", "float", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_DEFAULT_TAGS}int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_DEFAULT_TAGS}float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|[-+]?\.inf$|\.nan$"),
    list("-+0123456789."),
)


def read_document(path: Path) -> Document:
    """Read a file; whatever is wrong with it stands in `problems`, each with its line."""
    document = Document(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        document.problems.append(f"{path}: can't be read: {error.strerror}")
        return document
    if len(data) > _MAX_BYTES:
        document.problems.append(f"{path}: has {len(data)} bytes; a configuration has at most {_MAX_BYTES}")
        return document
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        document.problems.append(f"{path}:{line}: is not UTF-8 text; save the file as UTF-8")
        return document
    _parse(document, text)
    return document


def parse_document(path: Path, text: str) -> Document:
    """Read a text as the file at a path would be read."""
    document = Document(path)
    _parse(document, text)
    return document


def _parse(document: Document, text: str) -> None:
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            document.problems.append(f"{document.path}: is empty; `neuroflow init` writes a commented example")
        elif not isinstance(root, yaml.MappingNode):
            document.problems.append(
                f"{document.path}:{root.start_mark.line + 1}: holds no mapping of sections, such as `paths:`"
            )
        else:
            document.values = _Reader(document, loader).mapping(root, ())
    except yaml.YAMLError as error:
        document.problems.append(_yaml_problem(document.path, text, error))
    except RecursionError:
        document.problems.append(f"{document.path}: is nested too deeply, or an alias holds itself")
    except _TooLarge:
        document.problems.append(f"{document.path}: unfolds to more than {_MAX_NODES} values through its aliases")


def _yaml_problem(path: Path, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{path}: is not YAML: {' '.join(str(error).split())}"
    lines = text.splitlines()
    source = lines[mark.line] if mark.line < len(lines) else ""
    problem = str(getattr(error, "problem", None) or error)
    if "\t" in source[: len(source) - len(source.lstrip())]:
        problem = "is indented with a tab; YAML allows spaces only"
    elif re.search(r":\s+[*&%@`!]", source):
        problem += "; put a value that begins with a special character in quotes"
    return f"{path}:{mark.line + 1}: is not YAML: {problem}"


class _TooLarge(Exception):
    pass


class _Reader:
    """Turn nodes into values, noting lines and duplicate keys on the way."""

    def __init__(self, document: Document, loader: _Loader) -> None:
        self._document = document
        self._loader = loader
        self._nodes = 0

    def mapping(self, node: yaml.MappingNode, prefix: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{_DEFAULT_TAGS}merge":
                merged.update(self._merge(value_node, prefix))
                continue
            name = self._key(key_node, line)
            if name is None:
                continue
            key = (*prefix, name)
            if name in first_lines:
                self._problem(line, f"{dotted(key)}: is given twice, first in line {first_lines[name]}; keep one")
                continue
            first_lines[name] = line
            self._document.lines[key] = line
            own[name] = self._value(value_node, key)
        return {**merged, **own}

    def _merge(self, node: yaml.Node, prefix: KeyPath) -> dict[str, Any]:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, prefix)
        values: dict[str, Any] = {}
        for item in reversed(node.value) if isinstance(node, yaml.SequenceNode) else ():
            if isinstance(item, yaml.MappingNode):
                values.update(self.mapping(item, prefix))
        return values

    def _key(self, node: yaml.Node, line: int) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == f"{_DEFAULT_TAGS}str":
                return str(node.value)
            self._problem(line, f"the key {node.value} is read as a number, flag or nothing; put it in quotes")
        else:
            self._problem(line, "a key must be a text, not a list or mapping")
        return None

    def _value(self, node: yaml.Node, key: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _TooLarge
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._document.lines[(*key, index)] = item.start_mark.line + 1
            return [self._value(item, (*key, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _scalar(self, node: yaml.Node, key: KeyPath) -> Any:
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            self._problem(node.start_mark.line + 1, f"{dotted(key)}: can't be read: {reason}")
            return None

    def _problem(self, line: int, text: str) -> None:
        self._document.problems.append(f"{self._document.path}:{line}: {text}")
