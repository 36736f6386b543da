"""Set values in a YAML file's text, and leave every other character of it as it is; pure functions.

A parser tells where each value stands, and the text is changed there: comments, order, quotes, anchors and the people's
own layout survive, as no writer of YAML would let them. What comes out is read again, and has to say what was said
before but for the values that were set; where it doesn't, as where a value is shared through an anchor, nothing is
changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from neuroflow.config.document import parse_document
from neuroflow.config.shapes import KeyPath, dotted
from neuroflow.errors import ConfigError

_STEP = 2  # of indentation
_DECORATION = re.compile(r"(?:[&!]\S*\s+)*")  # anchors and tags before a value
_LINE_END = re.compile(r"\r?\n|\Z")


@dataclass
class _Node:
    """A value and where it stands in the text."""

    start: int
    end: int
    kind: str  # mapping, scalar, alias, list
    flow: bool = False
    entries: list[tuple[_Key, _Node]] = field(default_factory=list)

    def find(self, name: str) -> tuple[_Key, _Node] | None:
        return next((entry for entry in self.entries if entry[0].name == name), None)


@dataclass(frozen=True)
class _Key:
    name: str
    start: int
    column: int


class _CannotEdit(Exception):
    pass


def set_values(text: str, values: Mapping[KeyPath, int], *, path: Path) -> str:
    """Return a file's text with values set, each where it stands or where it belongs.

    Raises:
        ConfigError: when a value can't be set without changing anything else.
    """
    document = parse_document(path, text)
    for key, value in values.items():
        wanted = _with(document.values, key, value)
        try:
            text = _set(text, [str(part) for part in key], str(value))
        except _CannotEdit as error:
            raise _refusal(path, key, value, str(error)) from error
        document = parse_document(path, text)
        if document.problems or document.values != wanted:
            raise _refusal(path, key, value, "other values would change with it, as where an anchor shares it")
    return text


def _refusal(path: Path, key: KeyPath, value: int, why: str) -> ConfigError:
    return ConfigError(f"{path}: {dotted(key)} can't be set here: {why}", hint=f"set it to {value} by hand")


def _with(values: Mapping[str, Any], key: Sequence[Any], value: int) -> dict[str, Any]:
    name, *rest = key
    below = values.get(name)
    inner = _with(below if isinstance(below, Mapping) else {}, rest, value) if rest else value
    return {**values, name: inner}


def _set(text: str, names: Sequence[str], value: str) -> str:
    node = _tree(text)
    if node is None:
        return _appended(text, _lines(names, value, 0), text)
    parent: _Key | None = None
    for depth, name in enumerate(names):
        found = node.find(name)
        if found is None:
            return _inserted(text, node, parent, names[depth:], value)
        parent, node = found
    return _replaced(text, node, value)


def _replaced(text: str, node: _Node, value: str) -> str:
    if node.kind not in ("scalar", "alias"):
        raise _CannotEdit("it holds no single value")
    decoration = _DECORATION.match(text, node.start, node.end)
    start = decoration.end() if decoration and node.kind == "scalar" else node.start
    gap = " " if text[start - 1 : start] == ":" else ""  # a key without a value
    return text[:start] + gap + value + text[node.end :]


def _inserted(text: str, node: _Node, parent: _Key | None, names: Sequence[str], value: str) -> str:
    """Put keys that are missing into the section at `parent`; None: the whole file."""
    if node.kind == "mapping" and node.flow:
        brace = text.index("{", node.start) + 1
        rest = ", " if node.entries else ""
        return text[:brace] + _in_flow(names, value) + rest + text[brace:]
    if node.kind == "mapping" and parent is None:
        return _appended(text, ["", *_lines(names, value, node.entries[0][0].column)], text)
    if parent is None or node.kind not in ("mapping", "scalar"):
        raise _CannotEdit("its section is shared through an alias, or is no mapping")
    if node.kind == "scalar":
        return _opened(text, node, parent, names, value)
    after = _line_end(text, _last_single(node, parent))
    return _put_lines(text, after, _lines(names, value, node.entries[0][0].column))


def _opened(text: str, node: _Node, parent: _Key, names: Sequence[str], value: str) -> str:
    """Put the first key into a section that holds nothing, all of its lines being comments perhaps."""
    if text[node.start : node.end].strip() not in ("", "~", "null"):
        raise _CannotEdit("its section is no mapping")
    text = text[: node.start] + text[node.end :]
    return _put_lines(text, _line_end(text, parent.start), _lines(names, value, parent.column + _STEP))


def _last_single(node: _Node, parent: _Key) -> int:
    """Return behind what a new key goes: the last of the numbers at the section's top, or else its own key."""
    place = parent.start
    for key, value in node.entries:
        if key.name in ("cpus", "memory_mb", "time_minutes") and value.kind in ("scalar", "alias"):
            place = max(value.end, key.start)
    return place


def _lines(names: Sequence[str], value: str, column: int) -> list[str]:
    indents = [" " * (column + _STEP * depth) for depth in range(len(names))]
    lines = [f"{indent}{name}:" for indent, name in zip(indents, names, strict=True)]
    return [*lines[:-1], f"{lines[-1]} {value}"]


def _in_flow(names: Sequence[str], value: str) -> str:
    text = f"{names[-1]}: {value}"
    for name in reversed(names[:-1]):
        text = f"{name}: {{{text}}}"
    return text


def _line_end(text: str, place: int) -> int:
    """Return where the line ends that a place is in, its line break left out."""
    found = _LINE_END.search(text, place)
    return found.start() if found else len(text)


def _put_lines(text: str, place: int, lines: Sequence[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    return text[:place] + "".join(newline + line for line in lines) + text[place:]


def _appended(text: str, lines: Sequence[str], whole: str) -> str:
    newline = "\r\n" if "\r\n" in whole else "\n"
    start = "" if not text or text.endswith("\n") else newline
    return text + start + "".join(line + newline for line in lines)


def _tree(text: str) -> _Node | None:
    """Return where everything in a text stands; None where it says nothing."""
    try:
        events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                first = next(events)
                node = _node(first, events)
                empty = node.kind == "scalar" and node.start == node.end
                return None if empty else node
    except (yaml.YAMLError, RecursionError) as error:
        raise _CannotEdit("the file is not YAML") from error
    return None


def _node(event: Any, events: Iterator[Any]) -> _Node:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return _Node(start, end, "alias")
    if isinstance(event, yaml.ScalarEvent):
        return _Node(start, end, "scalar")
    if isinstance(event, yaml.SequenceStartEvent):
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            _node(item, events)
        return _Node(start, end, "list")
    node = _Node(start, end, "mapping", flow=bool(event.flow_style))
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        mark = event.start_mark
        key = _Key(getattr(event, "value", ""), mark.index, mark.column)
        _node(event, events)  # a key may be anything
        node.entries.append((key, _node(next(events), events)))
    return node
